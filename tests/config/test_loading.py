import pytest
import yaml

from longtail.config import load_config
from longtail.errors import UserError


@pytest.fixture
def write(tmp_path):
    def write(text, name="config.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def refusal(path=None, overrides=()):
    with pytest.raises(UserError) as error:
        load_config(path, overrides)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_the_defaults_load():
    cfg = load_config()
    assert cfg.TRAIN.BATCH_SIZE == 32
    assert cfg.LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR == 0.0


def test_the_result_is_frozen_in_every_section():
    cfg = load_config()
    with pytest.raises(AttributeError):
        cfg.NAME = "other"
    with pytest.raises(AttributeError):
        cfg.TRAIN.LR_SCHEDULER.WARM_EPOCH = 3


@pytest.mark.parametrize("base", ["", "  AMP: auto\n"])
def test_a_bare_off_is_off(write, base):
    path = write("_BASE_: base.yaml\nTRAIN:\n  AMP: off\n  CUDA_GRAPH: off\n")
    write(f"TRAIN:\n{base}  CUDA_GRAPH: loop\n", "base.yaml")
    cfg = load_config(path)
    assert (cfg.TRAIN.AMP, cfg.TRAIN.CUDA_GRAPH) == ("off", "off")
    assert load_config(write(cfg.dump(), "dumped.yaml")) == cfg
    assert "DATASET.CACHE must be a text, not False" in refusal(write("DATASET:\n  CACHE: off\n"))


def test_trees_do_not_share_values():
    first = load_config()
    first.TRAIN.LR_SCHEDULER.LR_STEP.append(99)
    assert load_config().TRAIN.LR_SCHEDULER.LR_STEP == [40, 50]


@pytest.mark.parametrize(
    ("key", "written", "expected"),
    [
        ("TRAIN.OPTIMIZER.WEIGHT_DECAY", "2e-4", 2e-4),
        ("TRAIN.OPTIMIZER.WEIGHT_DECAY", 2e-4, 2e-4),
        ("TRAIN.OPTIMIZER.BASE_LR", "1", 1.0),
        ("TRAIN.OPTIMIZER.BASE_LR", 1, 1.0),
        ("CLASSIFIER.COS_SCALE", 16, 16.0),
        ("TRAIN.BATCH_SIZE", "64", 64),
        ("VALID_STEP", "-1", -1),
        ("INPUT_SIZE", "(32, 32)", (32, 32)),
        ("INPUT_SIZE", "32,32", (32, 32)),
        ("INPUT_SIZE", [32, 32], (32, 32)),
        ("TRAIN.LR_SCHEDULER.LR_STEP", "[160, 180]", [160, 180]),
        ("TRAIN.LR_SCHEDULER.LR_STEP", (160, 180), [160, 180]),
        ("BACKBONE.MULTI_NETWORK_TYPE", "['res32_cifar']", ["res32_cifar"]),
        ("DROPOUT", "true", True),
        ("DROPOUT", " False ", False),
        ("DROPOUT", True, True),
        ("NAME", "123", "123"),
        ("NAME", 123, "123"),
        ("NAME", "True", "True"),
        ("NAME", "[a, b]", "[a, b]"),
        ("NAME", "", ""),
    ],
)
@pytest.mark.parametrize("way", ["override", "file"])
def test_values_arrive_in_the_type_of_their_key(write, way, key, written, expected):
    if way == "override":
        cfg = load_config(None, [key, written])
    else:
        content = list(written) if isinstance(written, tuple) else written
        for part in reversed(key.split(".")):
            content = {part: content}
        cfg = load_config(write(yaml.safe_dump(content)))
    value = cfg
    for part in key.split("."):
        value = value[part]
    assert value == expected
    assert type(value) is type(expected)


def test_overrides_go_before_the_file_and_later_ones_before_earlier_ones(write):
    path = write("TRAIN: {BATCH_SIZE: 8, MAX_EPOCH: 3}")
    cfg = load_config(path, ["TRAIN.BATCH_SIZE", 16, "TRAIN.BATCH_SIZE", "24"])
    assert (cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.MAX_EPOCH) == (24, 3)


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "DATASET:\n  IMBALANCECIFAR:\nNETWORK:\n"])
def test_empty_files_and_empty_sections_change_nothing(write, text):
    assert load_config(write(text)) == load_config()


def test_bases_are_merged_first_and_found_beside_the_file(write, monkeypatch, tmp_path):
    write("NAME: grandparent\nVALID_STEP: 7\nSAVE_STEP: 7\nSHOW_STEP: 7", "base/grandparent.yaml")
    write("_BASE_: grandparent.yaml\nNAME: parent\nVALID_STEP: 8\nSAVE_STEP: 8", "base/parent.yaml")
    path = write("NAME: child\nVALID_STEP: 9\n_BASE_: ../base/parent.yaml", "own/child.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    cfg = load_config(path)
    assert (cfg.NAME, cfg.VALID_STEP, cfg.SAVE_STEP, cfg.SHOW_STEP) == ("child", 9, 8, 7)


def test_of_several_bases_the_last_one_counts(write):
    write("VALID_STEP: 1\nSAVE_STEP: 1", "a.yaml")
    write("VALID_STEP: 2", "b.yaml")
    cfg = load_config(write("_BASE_: [a.yaml, b.yaml]"))
    assert (cfg.VALID_STEP, cfg.SAVE_STEP) == (2, 1)


def test_two_bases_may_share_a_base(write):
    write("SHOW_STEP: 7", "root.yaml")
    write("_BASE_: root.yaml\nVALID_STEP: 2", "a.yaml")
    write("_BASE_: root.yaml\nSAVE_STEP: 3", "b.yaml")
    cfg = load_config(write("_BASE_: [a.yaml, b.yaml]"))
    assert (cfg.SHOW_STEP, cfg.VALID_STEP, cfg.SAVE_STEP) == (7, 2, 3)


def test_sections_of_base_and_child_are_joined_key_by_key(write):
    write("TRAIN: {BATCH_SIZE: 8, OPTIMIZER: {BASE_LR: 0.5, MOMENTUM: 0.8}}", "a.yaml")
    cfg = load_config(write("_BASE_: a.yaml\nTRAIN: {OPTIMIZER: {BASE_LR: 0.25}}"))
    optimizer = cfg.TRAIN.OPTIMIZER
    assert (cfg.TRAIN.BATCH_SIZE, optimizer.BASE_LR, optimizer.MOMENTUM) == (8, 0.25, 0.8)


@pytest.mark.parametrize("files", [{"a.yaml": "a.yaml"}, {"a.yaml": "b.yaml", "b.yaml": "a.yaml"}])
def test_a_circle_of_bases_is_refused(write, files):
    for name, base in files.items():
        path = write(f"_BASE_: {base}", name)
    assert "_BASE_ leads back to this file" in refusal(path)


@pytest.mark.parametrize("base", ["3", "", "[3]", "{a: b}"])
def test_a_base_that_names_no_file_is_refused(write, base):
    assert "config.yaml: _BASE_ must be the path of a file, or a list of paths" in refusal(write(f"_BASE_: {base}"))


def test_a_missing_base_is_named(write):
    assert "absent.yaml does not exist" in refusal(write("_BASE_: absent.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TRAIN: {BATCHSIZE: 8}", "unknown key TRAIN.BATCHSIZE; did you mean TRAIN.BATCH_SIZE?"),
        ("LOSS: {FocalLoss: {GAMA: 2}}", "unknown key LOSS.FocalLoss.GAMA; did you mean LOSS.FocalLoss.GAMMA?"),
        ("TRANE: {BATCH_SIZE: 8, X: 1}", "unknown key TRANE.BATCH_SIZE; did you mean TRAIN.BATCH_SIZE?"),
        ("xyzzy: 1", "unknown key xyzzy"),
        ("1: 2", "unknown key 1"),
        ("TRAIN: {BATCH_SIZE: many}", "TRAIN.BATCH_SIZE must be a whole number, not 'many' (default 32)"),
        ("TRAIN: {BATCH_SIZE: 8.0}", "TRAIN.BATCH_SIZE must be a whole number, not 8.0 (default 32)"),
        ("TRAIN: {BATCH_SIZE: true}", "TRAIN.BATCH_SIZE must be a whole number, not True (default 32)"),
        ("TRAIN: {BATCH_SIZE: }", "TRAIN.BATCH_SIZE must be a whole number, not None (default 32)"),
        ("TRAIN: {OPTIMIZER: {BASE_LR: fast}}", "TRAIN.OPTIMIZER.BASE_LR must be a number, not 'fast'"),
        ("TRAIN: {OPTIMIZER: {BASE_LR: yes}}", "TRAIN.OPTIMIZER.BASE_LR must be a number, not True"),
        ("DROPOUT: 1", "DROPOUT must be True or False, not 1 (default False)"),
        ("DROPOUT: maybe", "DROPOUT must be True or False, not 'maybe'"),
        ("NAME: [a]", "NAME must be a text, not ['a']"),
        ("NAME: true", "NAME must be a text, not True"),
        ("INPUT_SIZE: 32", "INPUT_SIZE must be a list, not 32"),
        ("TRAIN: 3", "TRAIN is a section of keys, not a value (3)"),
        ("TRAIN: {OPTIMIZER: SGD}", "TRAIN.OPTIMIZER is a section of keys, not a value ('SGD')"),
        ("NAME: a\nNAME: b", " line 1: key 'NAME' is written twice"),
        ("TRAIN:\n  BATCH_SIZE: 1\n  BATCH_SIZE: 2", " line 2: key 'BATCH_SIZE' is written twice"),
        ("NAME: a\nTRAIN: [1,", " line 2: "),
        ("NAME: a\n\tTRAIN: 1", " line 2: "),
        ("NAME: \x07", "special characters are not allowed"),
        ("NAME: !!python/object:os.system x", "could not determine a constructor"),
        ("- a\n- b", " holds a list; it must hold KEY: VALUE lines"),
        ("just a text", " holds a str; it must hold KEY: VALUE lines"),
    ],
)
def test_faults_of_a_file_are_told_in_one_line_that_names_it(write, text, message):
    path = write(text)
    told = refusal(path)
    assert str(path) in told
    assert message in told


def test_files_that_cannot_be_read_are_told(tmp_path):
    assert "absent.yaml does not exist" in refusal(tmp_path / "absent.yaml")
    assert f"config file {tmp_path} cannot be read" in refusal(tmp_path)
    (tmp_path / "latin1.yaml").write_bytes("NAME: Z\xfcrich".encode("latin-1"))
    assert "latin1.yaml cannot be read" in refusal(tmp_path / "latin1.yaml")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["NAME"], "overrides come in pairs KEY VALUE; 'NAME' has no partner"),
        (["NAME", "a", "VALID_STEP"], "'VALID_STEP' has no partner"),
        (["TRAIN.MAX_EPOCHS", 3], "override: unknown key TRAIN.MAX_EPOCHS; did you mean TRAIN.MAX_EPOCH?"),
        (["train.max_epoch", 3], "override: unknown key train.max_epoch; did you mean TRAIN.MAX_EPOCH?"),
        (["TRAIN", 3], "override: TRAIN is a section of keys, not a value (3)"),
        (["TRAIN.BATCH_SIZE.X", 3], "override: TRAIN.BATCH_SIZE must be a whole number"),
        (["TRAIN.BATCH_SIZE", "x"], "override: TRAIN.BATCH_SIZE must be a whole number, not 'x'"),
        (["_BASE_", "other.yaml"], "override: unknown key _BASE_"),
    ],
)
def test_faults_of_overrides_are_told_in_one_line(overrides, message):
    assert message in refusal(None, overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["NAME", "123", "OUTPUT_DIR", "2e-4", "INPUT_SIZE", (32, 40), "TRAIN.OPTIMIZER.WEIGHT_DECAY", 2e-4],
        ["NAME", "yes", "DATASET.VIEWS", ["crop", "none"], "TRAIN.LR_SCHEDULER.LR_STEP", [], "DROPOUT", True],
        ["NAME", "a: b # c\n", "DATASET.ROOT", "Z\xfcrich", "CLASSIFIER.COS_SCALE", 1e16],
    ],
)
def test_a_written_tree_loads_as_it_was(write, overrides):
    cfg = load_config(None, overrides)
    assert load_config(write(cfg.dump())) == cfg
