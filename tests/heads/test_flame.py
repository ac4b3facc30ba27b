"""FLAME files: read in every dialect, refused when hostile or wrong, and posed as the reference layer poses them."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from avatars.errors import AssetError
from avatars.heads import unpickle
from avatars.heads.arkit import INDEX, NAMES
from avatars.heads.flame import install, read_flame
from avatars.heads.flame_build import _bare
from avatars.heads.head import Head, HeadModel
from avatars.heads.lids import lid_gap

from .flame_file import EXPRESSIONS, SHAPES, VERTICES, flame_arrays, write_flame


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return flame_arrays()


@pytest.fixture(scope="module")
def plain(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_flame(tmp_path_factory.mktemp("flame") / "flame2023_Open.pkl", arrays, 5, chumpy=False)


def small(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same names with little in them: quick to write in every dialect."""
    return {name: value[..., :2].copy() if name == "shapedirs" else value for name, value in arrays.items()}


@pytest.mark.parametrize("chumpy", [True, False])
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_dialect_gives_the_same_arrays(arrays, tmp_path: Path, protocol: int, chumpy: bool) -> None:
    written = small(arrays)
    path = write_flame(tmp_path / "f.pkl", written, protocol, chumpy=chumpy)
    found = unpickle.read_arrays(path.read_bytes())
    assert found.keys() == written.keys()
    for name, value in written.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_whole_file_through_the_limited_process(arrays, plain: Path) -> None:
    found = read_flame(plain)
    np.testing.assert_array_equal(found.template, arrays["v_template"])
    np.testing.assert_array_equal(found.faces, arrays["f"])
    np.testing.assert_array_equal(np.moveaxis(found.expressions, 0, 2), arrays["shapedirs"][..., SHAPES:])
    np.testing.assert_array_equal(found.regressor, arrays["J_regressor"])
    assert len(found.sha256) == 64
    assert "chumpy" not in sys.modules


class _Calls:
    """Pickles as a call of anything."""

    def __init__(self, function: object, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return self.call


def _payloads(canary: Path) -> dict[str, bytes]:
    """Files that would touch the canary, or exhaust the machine, if they were loaded as pickles usually are."""
    touch = f"touch {canary}"
    nested = pickle.dumps(_Calls(os.system, touch))
    deep = b"(" + b"(l" * 10**6 + b"a" * 10**6 + b"."  # a list in a list in a list
    inside = np.empty(1, object)
    inside[0] = _Calls(os.system, touch)
    # BUILD on the stand-in for chumpy's class, with a state that is itself a call.
    stub = (
        b"\x80\x02cchumpy.ch\nCh\n)\x81}U\x01xcposix\nsystem\n"
        + b"X"
        + len(touch).to_bytes(4, "little")
        + touch.encode()
    )
    stub += b"\x85Rsb."
    bomb = (
        b"\x80\x02}U\nv_templatecnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x8a\x06"
        + (1 << 40).to_bytes(6, "little") + b"\x85U\x01b\x87Rs."
    )  # fmt: skip
    return {
        "os.system": pickle.dumps({"f": _Calls(os.system, touch)}),
        "subprocess": pickle.dumps({"f": _Calls(__import__("subprocess").check_call, ["touch", str(canary)])}),
        "getattr chain": pickle.dumps({"f": _Calls(getattr, _Calls(__import__, "os"), "system")}),
        "eval": pickle.dumps({"f": _Calls(eval, f"open({str(canary)!r}, 'w')")}),
        "object array": pickle.dumps({"v_template": inside}),
        "nested pickle": pickle.dumps({"f": _Calls(pickle.loads, nested)}),
        "__setstate__ of the stub": stub,
        "1 TiB array": bomb,
        "10^6-deep list": deep,
        "unknown class": b"cchumpy.reordering\nSelect\n)\x81.",
        "codec": pickle.dumps({"f": _Calls(__import__("_codecs").encode, "a", "rot13")}),
        "persistent reference": b"Pboo\n.",
    }


@pytest.mark.parametrize("name", list(_payloads(Path("canary"))))
def test_hostile_files_are_refused_and_run_nothing(tmp_path: Path, name: str) -> None:
    canary, path = tmp_path / "canary", tmp_path / "flame.pkl"
    path.write_bytes(_payloads(canary)[name])
    with pytest.raises(AssetError):
        install(path, tmp_path / "cache")
    assert not canary.exists()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["os.system", "subprocess", "nested pickle", "eval"])
def test_the_payloads_are_real(tmp_path: Path, name: str) -> None:
    """Loaded as pickles usually are, they do what they say; otherwise the test above would prove nothing."""
    canary = tmp_path / "canary"
    pickle.loads(_payloads(canary)[name])
    assert canary.exists()


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_refused_globals_are_named(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "flame.pkl"
    path.write_bytes(pickle.dumps({"f": _Calls(os.getcwd)}, protocol))
    with pytest.raises(AssetError, match=r"getcwd.*flame\.is\.tue\.mpg\.de"):
        read_flame(path)


def test_files_that_are_no_pickles(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "x.pkl"
    for data in (b"", b"hello", b"\x80\x05", plain.read_bytes()[:100000], pickle.dumps([1, 2]), pickle.dumps({"f": 3})):
        path.write_bytes(data)
        with pytest.raises(AssetError, match="Not a FLAME"):
            read_flame(path)
    with pytest.raises(AssetError, match="No such file"):
        read_flame(tmp_path / "none.pkl")


def _spoiled(arrays: dict[str, np.ndarray], how: str) -> dict[str, np.ndarray]:
    out = dict(arrays)
    if how == "SMPL's size":
        out["v_template"] = np.zeros((6890, 3))
    elif how == "few axes":
        out["shapedirs"] = arrays["shapedirs"][..., :200]
    elif how == "NaN":
        out["posedirs"] = np.where(np.arange(36) == 3, np.nan, arrays["posedirs"])
    elif how == "weights":
        out["weights"] = arrays["weights"] * 1.0001
    elif how == "permuted joints":
        out["kintree_table"] = arrays["kintree_table"][:, [0, 2, 1, 3, 4]] * np.array([[1], [1]])
        out["kintree_table"][0] = [4294967295, 0, 0, 1, 1]
    elif how == "triangle out of range":
        out["f"] = np.where(np.arange(3) == 1, 5023, arrays["f"]).astype(np.uint32)
    elif how == "no weights":
        del out["weights"]
    elif how == "millimetres":
        out["v_template"] = arrays["v_template"] * 1000
    return out


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("SMPL's size", "6890"), ("few axes", "400"), ("NaN", "NaN"), ("weights", "sum to 1"),
        ("permuted joints", "hang on each other"), ("triangle out of range", "does not exist"),
        ("no weights", "no weights"), ("millimetres", "measures"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused_with_a_reason(arrays, tmp_path: Path, how: str, says: str) -> None:
    path = write_flame(tmp_path / "f.pkl", _spoiled(arrays, how), 5, chumpy=False)
    with pytest.raises(AssetError, match=says) as caught:
        install(path, tmp_path / "cache")
    assert "flame.is.tue.mpg.de" in str(caught.value)
    assert "sha256" in str(caught.value)


def test_forward_pass_matches_smplx(arrays, plain: Path, tmp_path: Path, capfd) -> None:
    """Shape, expression, pose correctives and the chain of joints, against the reference FLAME layer."""
    smplx = pytest.importorskip("smplx", reason="the smplx extra (a non-commercial oracle) is not installed")
    reference = {name: value for name, value in arrays.items() if name != "f"} | {"f": arrays["f"].astype(np.int64)}
    (tmp_path / "FLAME_NEUTRAL.pkl").write_bytes(pickle.dumps(reference))
    marks = {"lmk_face_idx": np.arange(51), "lmk_b_coords": np.full((51, 3), 1 / 3)}
    (tmp_path / "flame_static_embedding.pkl").write_bytes(pickle.dumps(marks))
    layer = smplx.FLAME(str(tmp_path), num_betas=SHAPES, num_expression_coeffs=EXPRESSIONS, dtype=torch.float64)
    rng = np.random.default_rng(0)
    betas, expression = rng.normal(size=(1, SHAPES)) * 0.7, rng.normal(size=(1, EXPRESSIONS))
    angles, shift = rng.normal(size=(1, 5, 3)) * 0.3, rng.normal(size=(1, 3))
    tensors = [torch.as_tensor(v) for v in (betas, expression, *np.moveaxis(angles, 1, 0), shift)]
    names = ("betas", "expression", "global_orient", "neck_pose", "jaw_pose", "leye_pose", "reye_pose", "transl")
    expected = layer(**dict(zip(names, tensors, strict=True))).vertices[0].detach().numpy()
    head = _bare(read_flame(plain), "flame").shape(betas[0])
    model = HeadModel(head, dtype=torch.float64)
    state = torch.zeros(1, model.size, dtype=torch.float64)
    state[:, :EXPRESSIONS] = torch.as_tensor(expression)
    ours = model.articulate(state, torch.as_tensor(angles), torch.as_tensor(shift))[0].numpy()
    assert np.abs(ours - expected).max() <= 1e-5  # m; measured 4e-7: the head keeps float32


def test_face_state_and_chain_agree(plain: Path) -> None:
    """Jaw and gaze as entries of the expression pose as the same rotations do in FLAME's own chain."""
    head = _bare(read_flame(plain), "flame")
    model, rng = HeadModel(head, dtype=torch.float64), np.random.default_rng(1)
    low, high = torch.as_tensor(head.expression_low).double(), torch.as_tensor(head.expression_high).double()
    state = low + (high - low) * torch.as_tensor(rng.uniform(0.2, 0.8, (1, model.size)))
    still, here = torch.eye(3, dtype=torch.float64)[None], torch.zeros(1, 3, dtype=torch.float64)
    posed = model.pose(state, still, here, still, here)
    angles = (state @ model.turning).reshape(1, 5, 3)
    torch.testing.assert_close(posed, model.articulate(state, angles, here), atol=1e-9, rtol=0)


@pytest.fixture(scope="module")
def installed(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Head:
    return install(plain, tmp_path_factory.mktemp("heads"))


@pytest.mark.slow
class TestInstalled:
    """What is added to FLAME."""

    def test_it_is_kept_and_complete(self, installed: Head, plain: Path, tmp_path: Path) -> None:
        assert installed.name == "flame2023_Open"
        assert len(installed.sha256) == 64
        assert installed.identity_basis.shape[0] == SHAPES
        assert installed.expression_names[:2] == ("expression000", "expression001")
        assert (installed.landmark_faces >= 0).all()
        assert installed.landmark_faces.max() < len(installed.faces)
        for name in ("lips", "eyelids", "teeth_upper", "teeth_lower", "tongue", "mouth_interior", "scalp", "ears"):
            assert installed.regions[name].any(), name
        assert installed.regions["teeth_upper"][VERTICES:].sum() == installed.regions["teeth_upper"].sum()
        installed.save(tmp_path / "h")
        Head.load(tmp_path / "h")

    def test_uv_does_not_fold(self, installed: Head) -> None:
        a, b = installed.uv[:, 1] - installed.uv[:, 0], installed.uv[:, 2] - installed.uv[:, 0]
        area = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
        assert area.min() > -1e-9
        assert installed.uv.min() >= 0
        assert installed.uv.max() <= 1
        assert area[installed.faces_of("face")].sum() > 0.2

    def test_blinks_close(self, installed: Head) -> None:
        for side in "lr":
            assert lid_gap(installed, side, 0.0).max() > 0.003
            assert lid_gap(installed, side, 1.0).max() < 0.0003

    def test_teeth_follow_head_and_jaw(self, installed: Head) -> None:
        model = HeadModel(installed)
        state = torch.zeros(1, model.size)
        state[0, installed.expression_names.index("jawOpen")] = 1
        still, here = torch.eye(3)[None], torch.zeros(1, 3)
        moved = (model.pose(state, still, here, still, here)[0] - model.template).numpy()
        assert np.abs(moved[installed.regions["teeth_upper"]]).max() < 1e-6
        lower = moved[installed.regions["teeth_lower"], 1]
        assert lower.max() < -0.004  # molars, near the joint
        assert lower.min() < -0.02  # incisors

    def test_arkit_map_imitates_the_default_head(self, installed: Head) -> None:
        """The stand-in carries the default head's own actions among its axes, so the map should find most of them."""
        from avatars.heads.anny import default_head

        default, model = default_head(), HeadModel(installed)
        still, here = torch.eye(3)[None], torch.zeros(1, 3)
        assert installed.arkit.shape == (len(NAMES), model.size)
        assert (installed.arkit >= installed.expression_low - 1e-5).all()
        assert (installed.arkit <= installed.expression_high + 1e-5).all()
        for name in ("mouthSmileLeft", "browInnerUp", "mouthPucker", "cheekPuff", "jawOpen", "mouthLeft"):
            state = torch.as_tensor(installed.arkit[INDEX[name]])[None]
            posed = model.pose(state, still, here, still, here)
            theirs = default.expression_basis[INDEX[name]]
            ours = (model.landmarks(posed)[0] - model.landmarks(model.template[None])[0]).numpy()
            corners = default.faces[default.landmark_faces]
            wanted = np.einsum("lkd,lk->ld", theirs[corners], default.landmark_barycentric)
            agreement = (ours * wanted).sum() / np.linalg.norm(ours) / np.linalg.norm(wanted)
            assert agreement > 0.8, (name, agreement)
        for name in ("eyeBlinkLeft", "eyeLookUpRight"):
            assert installed.arkit[INDEX[name], installed.expression_names.index(name)] == 1
