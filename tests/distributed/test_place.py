"""Where a run computes: devices, precision, processes."""

import os
import socket
from typing import Any

import pytest
import torch

from longtail.distributed import Place, World, find_place, gather_to_all
from longtail.distributed import place as place_module
from longtail.distributed.launch import NEEDED
from longtail.distributed.place import parse_devices
from longtail.errors import ProcessLost, UserError
from tests.helpers.processes import run_processes

CPU = torch.device("cpu")


@pytest.fixture(params=[0, 1, 4])
def gpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let torch report this many GPUs."""
    number: int = request.param
    monkeypatch.setattr(torch.cuda, "device_count", lambda: number)
    return number


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)


def cuda(*indices: int) -> list[torch.device]:
    return [torch.device("cuda", index) for index in indices]


# Devices


def test_parse_devices_by_default_is_the_first_gpu_or_the_cpu(gpus: int) -> None:
    assert parse_devices(None) == (cuda(0) if gpus else [CPU])


@pytest.mark.parametrize("text", ["cpu", " cpu "])
def test_parse_devices_cpu(gpus: int, text: str) -> None:
    assert parse_devices(text) == [CPU]


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(
    ("text", "indices"), [("0", [0]), ("3,1", [3, 1]), (" 0 , 2 ", [0, 2]), ("0,1,2,3", [0, 1, 2, 3])]
)
def test_parse_devices_lists_gpus_in_order(text: str, indices: list[int]) -> None:
    assert parse_devices(text) == cuda(*indices)


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize("text", ["", "a", "0,", "0;1", "0,0", "00,0", "-1", "1.0", "²", 5000 * "1", "cpu,0", "cuda:0"])
def test_parse_devices_refuses_other_texts(text: str) -> None:
    with pytest.raises(UserError, match=r"^GPUs .* expected cpu, or different numbers such as 0 or 0,1; this machine"):
        parse_devices(text)


@pytest.mark.usefixtures("four_gpus")
def test_parse_devices_refuses_gpus_that_do_not_exist() -> None:
    with pytest.raises(UserError, match=r"^GPU 4 does not exist: this machine has 4 GPUs \(0 to 3\)$"):
        parse_devices("0,4")


def test_parse_devices_without_gpus_names_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match=r"^GPU 0 does not exist: this machine has 0 GPUs; cpu is allowed$"):
        parse_devices("0")


# find_place


def launch(monkeypatch: pytest.MonkeyPatch, *, rank: int, local_rank: int, size: int) -> None:
    values = {"RANK": rank, "LOCAL_RANK": local_rank, "WORLD_SIZE": size, "MASTER_ADDR": "host", "MASTER_PORT": 29500}
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))


def test_find_place_of_one_process_on_the_cpu() -> None:
    assert find_place("cpu") == Place()
    assert find_place("cpu").main


@pytest.mark.usefixtures("four_gpus")
def test_find_place_of_one_process_on_several_gpus() -> None:
    place = find_place("1,3")
    assert (place.devices, place.device, place.world) == (tuple(cuda(1, 3)), cuda(1)[0], World())


@pytest.mark.usefixtures("four_gpus")
def test_find_place_gives_each_local_process_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    launch(monkeypatch, rank=3, local_rank=1, size=4)
    place = find_place("2,0")
    assert place.device == cuda(0)[0]
    assert place.world == World(3, 1, 4)
    assert not place.main


@pytest.mark.usefixtures("four_gpus")
def test_find_place_without_names_gives_each_local_process_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    launch(monkeypatch, rank=3, local_rank=3, size=4)
    assert find_place().device == cuda(3)[0]


def test_find_place_of_several_processes_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    launch(monkeypatch, rank=1, local_rank=1, size=2)
    assert find_place("cpu") == Place(World(1, 1, 2))


@pytest.mark.usefixtures("four_gpus")
def test_find_place_refuses_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    launch(monkeypatch, rank=2, local_rank=2, size=3)
    with pytest.raises(UserError, match=r"^there is no GPU for process 2 of this machine: the command names 2$"):
        find_place("0,1")


# Precision


@pytest.mark.parametrize("precision", ["off", "bf16", "fp16"])
def test_with_precision_keeps_the_rest(precision: str) -> None:
    place = Place(World(1, 0, 2))
    assert place.with_precision(precision) == Place(World(1, 0, 2), precision=precision)
    assert place.precision == "off"


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({}, "off"), ({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx512_f": True}, "off")],
)
def test_with_precision_auto_on_a_cpu(
    capabilities: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert Place().with_precision("auto").precision == expected


@pytest.mark.slow
@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "off")])
def test_with_precision_auto_on_a_cpu_with_torch_before_2_9(
    supported: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)
    assert Place().with_precision("auto").precision == expected


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "off")])
def test_with_precision_auto_on_a_gpu(supported: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    emulation: list[bool] = []

    def is_bf16_supported(including_emulation: bool) -> bool:
        emulation.append(including_emulation)
        return supported

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    assert Place(device=cuda(0)[0]).with_precision("auto").precision == expected
    assert emulation == [False]


@pytest.mark.parametrize(
    ("precision", "expected"), [("off", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_autocast_computes_in_the_precision(precision: str, expected: torch.dtype) -> None:
    with Place(precision=precision).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


# connected


def test_connected_in_one_process_does_not_connect() -> None:
    with Place().connected(timeout=60):
        assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.distributed.DistBackendError("x"), "has exited"),
        (RuntimeError("Connection closed by peer [127.0.0.1]:1234"), "has exited"),
        (RuntimeError("Timed out waiting 600000ms"), "did not respond within 0.5 minutes (TRAIN.PEER_TIMEOUT)"),
    ],
)
def test_connected_reports_lost_processes_in_one_line(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_group: Any = lambda world, device, timeout: torch.no_grad()  # noqa: E731
    monkeypatch.setattr(place_module, "connected", no_group)
    with pytest.raises(ProcessLost) as lost, Place(World(1, 1, 2)).connected(timeout=30):
        raise error
    assert str(lost.value).startswith(f"process 1 of 2 stopped: another process of the run {message}, see its message")
    assert str(lost.value).endswith(f"({str(error).splitlines()[0]})")
    assert "\n" not in str(lost.value)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            torch.distributed.DistNetworkError("The server socket has failed to listen: EADDRINUSE\nmore"),
            UserError,
            "process 1 of 2 cannot connect to the others (MASTER_ADDR 127.0.0.1, MASTER_PORT 1): The server socket has "
            "failed to listen: EADDRINUSE",
        ),
        (RuntimeError("Unable to find interface nope0"), UserError, "MASTER_PORT 1): Unable to find interface nope0"),
        (
            torch.distributed.DistStoreError("Timed out after 600 seconds waiting for clients. 1/2 clients joined."),
            ProcessLost,
            "did not respond within 0.5 minutes",
        ),
    ],
)
def test_connected_reports_that_a_process_cannot_connect(
    error: Exception, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(torch.distributed, "init_process_group", fail)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    with pytest.raises(kind) as refused, Place(World(1, 1, 2)).connected(timeout=30):
        pass
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_connected_passes_other_errors_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="peer"), Place().connected(timeout=60):
        raise RuntimeError("peer")  # of a single process
    monkeypatch.setattr(place_module, "connected", lambda world, device, timeout: torch.no_grad())
    with pytest.raises(RuntimeError, match="shape mismatch"), Place(World(0, 0, 2)).connected(timeout=60):
        raise RuntimeError("shape mismatch")


def meet(port: int, rank: int, world: int) -> Place:
    """Leave the process group of the test, and return the place of a process that torchrun has started."""
    torch.distributed.destroy_process_group()
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(world)}
    return Place(World(rank, rank, world))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.slow
def test_connected_processes_exchange(tmp_path_factory: pytest.TempPathFactory) -> None:
    port = free_port()

    def work(rank: int, world: int) -> list[Any]:
        with meet(port, rank, world).connected(timeout=60):
            gathered = gather_to_all(rank)
        return [gathered, torch.distributed.is_initialized()]

    results = run_processes(work, tmp_path_factory.mktemp("worlds"), worlds=[2])
    assert results[2] == [[[0, 1], False]] * 2


@pytest.mark.slow
def test_connected_reports_a_process_that_has_left(tmp_path_factory: pytest.TempPathFactory) -> None:
    port = free_port()

    def work(rank: int, world: int) -> str:
        try:
            with meet(port, rank, world).connected(timeout=60):
                gather_to_all(rank)
                if rank == 0:
                    gather_to_all(rank)
        except ProcessLost as error:
            return str(error)
        return "finished"

    lost, finished = run_processes(work, tmp_path_factory.mktemp("worlds"), worlds=[2])[2]
    assert lost.startswith("process 0 of 2 stopped: another process of the run has exited, see its message")
    assert finished == "finished"
