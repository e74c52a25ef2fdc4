"""How triangles hang together, told as a person would count it with paper: every fast way must come to the same."""

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.meshes import geometry, topology
from agent.meshes.topology import Faces, Mesh
from agent.sandbox import models

SPHERE = np.array(models.rippled_sphere(10_000), np.float32)
"""More corners than are taken at a time."""

few = st.integers(0, 6)
face = st.lists(few, min_size=3, max_size=3, unique=True)
some_faces = st.lists(face, min_size=1, max_size=12).map(lambda rows: np.array(rows, np.int32))


def counted(faces: Faces) -> Counter[tuple[int, int]]:
    """How often each edge is used in each direction."""
    return Counter((int(a), int(b)) for face in faces for a, b in pairwise([*face, face[0]]))


# --- corners -------------------------------------------------------------------------------------------------------
def merged_by_hand(corners: np.ndarray) -> tuple[list[tuple[float, ...]], list[int]]:
    seen: dict[tuple[float, ...], int] = {}
    rows = [seen.setdefault(tuple(point), len(seen)) for point in corners.reshape(-1, 3).tolist()]
    return list(seen), rows


def is_merged(mesh: Mesh, corners: np.ndarray) -> bool:
    points, rows = merged_by_hand(corners)
    return np.array_equal(mesh.points, points) and np.array_equal(mesh.faces.ravel(), rows)


def test_equal_corners_become_one_point_numbered_as_they_come() -> None:
    assert is_merged(topology.merged(SPHERE), SPHERE)
    mixed = SPHERE[np.random.default_rng(1).permutation(len(SPHERE))]
    assert is_merged(topology.merged(mixed), mixed)


def test_corners_that_all_differ_and_corners_that_are_all_the_same() -> None:
    random = np.random.default_rng(2).random((10_000, 3, 3), np.float32)
    assert is_merged(topology.merged(random), random)
    same = np.full((10_000, 3, 3), 7, np.float32)
    assert len(topology.merged(same).points) == 1 and not topology.merged(same).faces.any()


def test_minus_zero_is_zero() -> None:
    corners = np.array([[[0.0, 1, 2], [-0.0, 1, 2], [3, -0.0, 2]]], np.float32)
    for zero in (0.0, -0.0):
        mesh = topology.merged(corners, np.full(3, zero))
        assert mesh.faces.tolist() == [[0, 0, 1]]
        assert not np.signbit(mesh.points).any()


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e5, 1e5, width=32)] * 9), min_size=1, max_size=8))
def test_merging_where_it_stands_on_the_bed_is_moving_it_there_and_then_merging(rows: list[tuple[float, ...]]) -> None:
    corners = np.array(rows, np.float32).reshape(-1, 3, 3)
    here, there = topology.merged(corners, geometry.to_bed(corners)), topology.merged(geometry.on_bed(corners))
    assert here.points.tobytes() == there.points.tobytes() and np.array_equal(here.faces, there.faces)


# --- edges ---------------------------------------------------------------------------------------------------------
@settings(max_examples=150, deadline=None)
@given(some_faces)
def test_edges_are_counted_and_balance_is_told(faces: Faces) -> None:
    assert_counted(faces)


def test_edges_of_thousands_of_facets_and_of_large_meshes() -> None:
    fan = np.stack((np.zeros(20_000), np.ones(20_000), np.arange(2, 20_002)), axis=1).astype(np.int32)
    assert_counted(fan)
    faces = topology.merged(SPHERE).faces
    assert_counted(faces)
    assert_counted(faces[1:])
    assert_counted(np.concatenate((faces, faces[:1, ::-1])))


def assert_counted(faces: Faces) -> None:
    used = counted(faces)
    edges = {(min(edge), max(edge)) for edge in used}
    both = {(a, b): used[a, b] + used[b, a] for a, b in edges}
    uneven = [(a, b) for a, b in edges if used[a, b] != used[b, a]]
    found = topology.edges(faces)
    assert (found.total, found.boundary, found.unbalanced) == (len(edges), list(both.values()).count(1), len(uneven))
    assert (found.fewest_facets, found.most_facets) == (min(both.values()), max(both.values()))
    assert found.loose_points.tolist() == sorted({point for edge in uneven for point in edge})
    assert topology.balanced(faces) == found.balanced == (not uneven)


def test_what_is_turned_or_there_twice_or_taken_from_elsewhere_is_not_balanced() -> None:
    faces = topology.merged(SPHERE).faces
    assert topology.balanced(faces)
    assert topology.balanced(np.concatenate((faces, faces, faces[:, ::-1])))
    turned = faces.copy()
    turned[5] = turned[5, ::-1]
    swapped = faces.copy()
    swapped[7, 2], swapped[9, 2] = faces[9, 2], faces[7, 2]
    for wrong in (turned, swapped, np.concatenate((faces, faces[3:4])), faces[:-1]):
        assert not topology.balanced(wrong)


# --- pieces --------------------------------------------------------------------------------------------------------
@settings(max_examples=150, deadline=None)
@given(some_faces)
def test_pieces_share_no_point_and_are_numbered_as_they_come(faces: Faces) -> None:
    points = [{int(point) for point in face} for face in faces]
    pieces: list[set[int]] = []
    for face in points:
        apart = [piece for piece in pieces if not piece & face]
        pieces = [*apart, set().union(face, *(piece for piece in pieces if piece & face))]
    pieces.sort(key=min)
    mesh = Mesh(np.zeros((7, 3), np.float32), faces)
    count, label = topology.shells(mesh)
    assert count == len(pieces)
    assert label.tolist() == [next(n for n, piece in enumerate(pieces) if face <= piece) for face in points]


def test_a_long_strip_is_one_piece() -> None:
    n = np.arange(30_000, dtype=np.int32)
    for step in (1, -1):
        strip = np.stack((n, n + 1, n + 2), axis=1)[::step]
        assert topology.shells(Mesh(np.zeros((30_002, 3), np.float32), strip))[0] == 1
