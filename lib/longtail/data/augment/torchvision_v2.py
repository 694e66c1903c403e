"""Transforms of torchvision.transforms.v2 by name: `v2.ColorJitter(brightness=0.4)` in the lists of TRANSFORMS.

The text is read as the call of a class of `torchvision.transforms.v2`. Arguments are literals, lists, or transforms, as
in `v2.RandomApply([v2.GaussianBlur(3)], p=0.5)`. Nothing is evaluated.
"""

import ast
import inspect
from enum import Enum
from typing import Any, NoReturn

import torch
from torch import Tensor

from longtail.errors import UserError, one_line
from longtail.registry import nearest

PREFIX = "v2."


class TorchvisionTransform:
    """A transform of torchvision, applied to each image separately, with random numbers that depend on the generator.

    torchvision draws from PyTorch's global CPU generator. It is seeded for each image, and its state is restored. The
    images are transformed on the CPU.

    Args:
        text: The transform, for example `v2.ColorJitter(brightness=0.4)`.

    Raises:
        UserError: There is no such transform, it does not take these arguments, or it does not return uint8 images.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.transform = _parse(text)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return transformed images, (N, 3, S, S) uint8, of images (N, 3, H, W) uint8."""
        seeds = torch.randint(2**62, (len(images),), generator=generator).tolist()
        state = torch.get_rng_state()
        try:
            results = [self._one(image, seed) for image, seed in zip(images.cpu(), seeds, strict=True)]
        finally:
            torch.set_rng_state(state)
        return torch.stack(results).to(images.device) if results else images

    def _one(self, image: Tensor, seed: int) -> Tensor:
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        result = self.transform(image)
        if not isinstance(result, Tensor) or result.dtype != torch.uint8 or result.dim() != 3 or len(result) != 3:
            kind = f"{result.dtype} {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
            raise UserError(f"TRANSFORMS: {self.text} returns {kind}; it must return a uint8 image (3, H, W)")
        return result

    def check(self, size: tuple[int, int]) -> None:
        """Try the transform on a black image of this height and width.

        Raises:
            UserError: It fails, or does not return a uint8 image.
        """
        try:
            self(torch.zeros(1, 3, *size, dtype=torch.uint8), torch.Generator())
        except UserError:
            raise
        except Exception as error:
            _refuse(self.text, error)


def _parse(text: str) -> Any:
    """Return the transform that a string describes."""
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        raise UserError(f"TRANSFORMS: {text!r} cannot be read; write it as v2.ColorJitter(brightness=0.4)") from None
    return _value(node, text)


def _value(node: ast.expr, text: str) -> Any:
    """Return the transform, list or literal of a part of the string."""
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(element, text) for element in node.elts]
    call = node if isinstance(node, ast.Call) else None
    named = call.func if call else node
    if isinstance(named, ast.Attribute):
        arguments = [_value(argument, text) for argument in call.args] if call else []
        keywords = {keyword.arg: _value(keyword.value, text) for keyword in call.keywords} if call else {}
        return _construct(_transform_class(ast.unparse(named), text), arguments, keywords, text=text)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise UserError(
            f"TRANSFORMS: {text} has {ast.unparse(node)!r}, which is neither a literal nor a v2 class"
        ) from None


def _transform_class(name: str, text: str) -> type:
    from torchvision.transforms import v2

    known = {
        f"{PREFIX}{kind}": value
        for kind, value in vars(v2).items()
        if inspect.isclass(value) and issubclass(value, v2.Transform) and value is not v2.Transform
    }
    if name not in known:
        raise UserError(f"TRANSFORMS: {text}: torchvision has no transform {name!r}{nearest(name, known)}")
    return known[name]


def _construct(kind: type, arguments: list[Any], keywords: dict[Any, Any], *, text: str) -> Any:
    """Return an instance; a string becomes a member of an enumeration where the default is one."""
    parameters = inspect.signature(kind).parameters
    unknown = [name for name in keywords if name not in parameters]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise UserError(
            f"TRANSFORMS: {text}: {PREFIX}{kind.__name__} has no argument {unknown[0]!r}; available: "
            f"{', '.join(parameters) or 'none'}{nearest(str(unknown[0]), parameters)}"
        )
    try:
        for name, value in keywords.items():
            default = parameters[name].default if name in parameters else None
            if isinstance(default, Enum) and isinstance(value, str):
                keywords[name] = type(default)(value)
        return kind(*arguments, **keywords)
    except Exception as error:
        _refuse(text, error)


def _refuse(text: str, error: Exception) -> NoReturn:
    """Report an error of torchvision in one line."""
    reason = one_line(error)
    raise UserError(f"TRANSFORMS: {text} fails in torchvision: {reason}") from None
