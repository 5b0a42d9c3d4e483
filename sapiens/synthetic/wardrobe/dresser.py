"""Drapes garments that are cut from the suit over a person and the inner layers."""

import functools

import numpy as np

from ..appearance import Garment, Look
from ..body import REGIONS, Body, Posed, Shape
from ..materials import Material
from ..mesh import Surface, compact, cut, grid_faces, vertex_normals
from .cloth import texture_coordinates, trim_field
from .collars import add_collar_and_buttons
from .cuts import edge_fields, least_inside
from .folds import fold_heights
from .labels import FEET, LIP_OF, LOWER, SNUG, lip, part
from .places import CROTCH, WAIST
from .rims import turn_in
from .shoes import add_laces, sole_thickness
from .suit import load_suit
from .topology import all_of, any_of, smoothstep, unit

__all__ = ['Dresser']

_LEFT = [i for i, n in enumerate(REGIONS) if n.startswith('left')]
_LEG_REGIONS = [i for i, n in enumerate(REGIONS) if n.endswith(('leg', 'foot'))]


class Dresser:
    """Dresses one person, from the innermost garment to the outermost."""

    def __init__(self, body: Body, shape: Shape, posed: Posed, look: Look, rng: np.random.Generator):
        self.body, self.shape, self.posed, self.look, self.rng = body, shape, posed, look, rng
        self.suit = suit = load_suit(body)
        rest = shape.vertices[suit.ids]
        self.ground = float(shape.vertices[body.quads['body'], 2].min())
        self.scale = float(np.ptp(rest[:, 2]) / np.ptp(suit.coarse_places.p[:, 2]))
        # The helper follows some shapes unevenly. Smooth it.
        shift = rest - suit.coarse_places.p * self.scale
        for _ in range(4):
            shift += 0.7 * (suit.mean @ shift - shift)
        self.rest = (suit.coarse_places.p * self.scale + shift).astype(np.float32)
        self.rest += suit.coarse_topology.normals(self.rest) * (0.0015 * self.scale)
        transforms = posed.transforms.reshape(len(body.bones), 16)
        self.transforms = transforms
        self.matrices = (suit.weights @ transforms).reshape(-1, 4, 4)
        self.under = self.rest.copy()
        self.surfaces: list[Surface] = []
        self._inside: tuple | None = None
        self.posed_under = self.pose(self.rest, self.matrices).astype(np.float32)
        self.outer = suit.to_fine @ self.posed_under  # the outermost cloth
        self.outer_normals = suit.to_fine @ suit.coarse_topology.normals(self.posed_under)
        self.below_belt = 'Pants'
        self.skirt: np.ndarray | None = None  # radius and height of the rows of a skirt
        self.skirt_posed: np.ndarray | None = None
        self.top: tuple | None = None  # points and normals of the outermost cloth of the trunk

    def pose(self, rest: np.ndarray, matrices: np.ndarray) -> np.ndarray:
        return np.matmul(matrices[:, :3, :3], rest[:, :, None])[:, :, 0] + matrices[:, :3, 3]

    def inside(self, g: Garment) -> np.ndarray:
        """Return (C,) signed distances of the coarse vertices to the edges of a garment, positive inside."""
        if self._inside is None or self._inside[0] is not g:
            self._edges = edge_fields(g, self.suit.coarse_places)
            self._inside = g, least_inside(self._edges)
        return self._inside[1]

    def snug_edge(self, g: Garment) -> np.ndarray:
        """Return (C,) meters from the edges that lie on the skin: the neckline, and the armholes of sleeveless garments."""
        edges = self._edges
        return np.minimum(edges['neck'], edges['sleeve']) if g.sleeve <= 0.1 else edges['neck']

    def drape(self, g: Garment) -> np.ndarray:
        """Return the coarse rest positions of a garment over the inner layers."""
        suit = self.suit
        at, size = suit.coarse_places, self.scale
        z, arm_weight = at.p[:, 2], at.arm_weight
        trunk = 1 - smoothstep(0.2, 0.6, arm_weight)
        normals = suit.coarse_topology.normals(self.under)
        level = normals * [1, 1, 0]
        legs = smoothstep(0.0, -0.1, z)[:, None] * trunk[:, None]
        if g.kind in FEET:
            pass
        elif g.kind in LOWER or g.kind == 'jumpsuit':
            normals = unit(normals * (1 - legs) + unit(level) * legs).astype(np.float32)
        else:  # keep the hem out of the groin
            middle = np.array([*self.middle, 0])
            low = smoothstep(0.06, 0.0, z)[:, None] * trunk[:, None]
            normals = unit(normals * (1 - low) + unit((self.under - middle) * [1, 1, 0]) * low).astype(np.float32)
        inside = self.inside(g)
        away = np.full(len(z), g.ease - {'socks': 0.005, 'leggings': 0.003}.get(g.kind, 0.0))
        if g.kind in LOWER or g.kind == 'jumpsuit':
            down = np.clip((0.0 - z) / (0.0 - g.hem), 0, 1.15) * trunk
            away += g.flare * down ** (0.7 if g.flare < 0.03 else 1.1)
            away *= 1 - 0.75 * smoothstep(0.0, WAIST, z) * (g.kind != 'jumpsuit')
        if g.kind not in SNUG:
            top = 0.32
            if g.kind not in ('dress', 'coat', 'jumpsuit'):
                away += g.flare * np.clip((top - z) / (top - g.hem), 0, 1.1) * trunk
            along = np.clip(at.arm / max(0.485 * g.sleeve, 0.05), 0, 1.1)
            away += (0.35 * g.flare + 0.5 * g.ease) * along * (1 - trunk)
            away -= 0.7 * g.ease * smoothstep(0.42, 0.5, z) * trunk * (g.kind not in ('coat', 'jacket', 'hoodie'))
        if g.kind not in (*SNUG, 'coat', 'jacket', 'hoodie'):  # edges at neck and armholes lie close
            close = 1 - smoothstep(0.0, 0.05, self.snug_edge(g))
            away = away * (1 - close) - 0.003 * close
        p = self.under + normals * (away * size)[:, None].astype(np.float32)
        # Bridge hollows: smooth, but never below the inner layers.
        loose = np.clip((g.ease + g.flare) / 0.03, 0.0, 1.0)
        if g.kind in LOWER:
            loose *= 0.5
        least = (np.minimum(away, 0.005) * size).astype(np.float32)
        rounds = int(2 + 5 * loose)
        level_hems = smoothstep(0.4, 0.3, z) * trunk
        for k in range(rounds):
            step = 0.6 * (suit.mean @ p - p)
            step = (
                normals * np.einsum('ij,ij->i', step, normals)[:, None]
            )  # no motion along the cloth: edges stay smooth
            step[:, 2] *= 1 - level_hems
            p += step
            if g.kind not in SNUG and k % 2 == 0:
                p = self._hang(p, trunk, 0.9 - 0.8 * loose)
            inner = np.einsum('ij,ij->i', p - self.under, normals)
            p += normals * np.maximum(least - inner, 0)[:, None]
        if g.kind in FEET:  # flat on the ground, or on the sole
            depth = 0.3 * sole_thickness(self.look) if g.kind == 'shoes' else 0.001
            p[:, 2] = np.maximum(p[:, 2], self.ground - depth)
        bound = smoothstep(-0.06, 0.0, inside)[:, None].astype(np.float32)
        self.under = self.under * (1 - bound) + p * bound
        return p

    def _hang(self, p: np.ndarray, trunk: np.ndarray, slope: float) -> np.ndarray:
        """Let the cloth of the trunk hang from the parts that protrude above it, with an inward slope of at most ``slope``."""
        suit = self.suit
        up = suit.uphill
        z = suit.coarse_places.p[:, 2]
        rows = self._hanging
        axis = p[rows].mean(0)[1]
        d = p[:, :2] - [0, axis]
        r = np.hypot(d[:, 0], d[:, 1])
        drop = np.maximum(p[up, 2] - p[:, 2], 0)
        want = r[up] - slope * drop
        grow = np.where((z < 0.4) & (z > CROTCH - 0.1), np.clip(want - r, 0, 0.03), 0) * trunk
        p = p.copy()
        p[:, :2] += (d / np.maximum(r, 1e-6)[:, None] * grow[:, None]).astype(np.float32)
        return p

    @property
    def middle(self) -> np.ndarray:
        """(2,) x and y of the middle of the trunk at rest."""
        return self.under[self._hanging, :2].mean(0)

    @functools.cached_property
    def _hanging(self) -> np.ndarray:
        z = self.suit.coarse_places.p[:, 2]
        return np.flatnonzero((z > WAIST) & (z < 0.35) & (self.suit.coarse_places.arm_weight < 0.2))

    def add_garment(self, g: Garment, edges: dict, outer: np.ndarray | None) -> None:
        """Add a garment that is cut from the suit.

        Args:
            edges: :func:`edge_fields` of the fine vertices.
            outer: (V,) signed distances of the fine vertices to the edges of outer garments: deep vertices are not drawn.
        """
        suit = self.suit
        inside = least_inside(edges)
        rest = self.drape(g)
        posed = self._sag(rest, g)
        n = suit.coarse_topology.normals(self.posed_under)
        inner = np.einsum('ij,ij->i', posed - self.posed_under, n)
        bound = self.inside(g) > -0.03
        posed += n * (np.clip(0.003 * self.scale - inner, 0, 0.03) * bound)[:, None]
        self.posed_under[bound] = posed[bound]
        rows = any_of(inside > 0, suit.fine)
        if outer is not None:
            rows &= ~all_of(outer > 0.01, suit.fine)
        kept = np.flatnonzero(rows)
        if not len(kept):
            return
        # Keep only the vertices of these triangles, and add them to the outermost cloth.
        fine, near = compact(suit.fine[kept])
        both = suit.to_fine[near] @ np.concatenate([posed, suit.coarse_topology.normals(posed)], 1)
        vertices = both[:, :3] + both[:, 3:] * fold_heights(self, g, edges, outer)[near, None]
        self.outer[near], self.outer_normals[near] = vertices, vertex_normals(vertices, fine)
        vertices, normals = self.outer, self.outer_normals
        if g.kind not in SNUG:
            rows = np.flatnonzero((inside > -0.01) & suit.near_hair)
            self.top = vertices[rows].astype(float), normals[rows].astype(float)
        if g.kind == 'shoes' and self.look.shoe != 'boot':
            add_laces(self, vertices, normals)
        split, used = compact(suit.split[kept])
        of = suit.split_of[used]
        texture = texture_coordinates(self, g, used, split, suit.panel[kept])
        neck = edges.get('neck', np.ones(len(inside)))
        extra = np.stack([inside, trim_field(g, edges), neck, *suit.places.p[:, :2].T], 1)[of]
        arrays = np.concatenate([vertices[of], normals[of], texture, extra], 1, dtype=np.float32)
        faces, source, step = cut(split, inside[of], keep_below=False)
        first = len(arrays)
        arrays = step.extend(arrays)
        self._finish(g, faces, suit.face_region[kept][source], arrays, first)
        new = arrays[first:]
        add_collar_and_buttons(self, g, new[np.abs(new[:, 10]) < 1e-4], vertices, normals, inside)

    def _finish(self, g, faces, region, arrays, first) -> None:
        """Turn the rim in, split off the trim, label, and store the surfaces."""
        *rim, rim_region = turn_in(faces, region, first, arrays, (0.0025 + 0.1 * g.ease), 0.016)
        band = arrays[:, 9]
        trim = np.zeros(len(faces), bool)
        if (band > 0).any():
            faces, source, step = cut(faces, band)
            region = region[source]
            rim_faces, rim_arrays = rim
            shift = len(step.a)
            arrays = step.extend(arrays)
            rim = [rim_faces + shift, rim_arrays]
            band = arrays[:, 9]
            trim = band[faces[:, 0]] + band[faces[:, 1]] + band[faces[:, 2]] > 0
        rim_faces, rim_arrays = rim
        arrays = np.concatenate([arrays, rim_arrays])
        # Triangles of the rim take the material next to them.
        rim_trim = np.zeros(len(rim_faces), bool)
        if trim.any():
            rim_trim = arrays[rim_faces, 9].max(1) > -1e-4
        faces = np.concatenate([faces, rim_faces])
        trim = np.concatenate([trim, rim_trim])
        region = np.concatenate([region, rim_region])
        faces, used = compact(faces)
        arrays = arrays[used]
        self.add(g, faces, region, arrays, trim)

    def add(self, g: Garment, faces, region, arrays, trim) -> None:
        vertices, normals = arrays[:, :3].copy(), unit(arrays[:, 3:6]).astype(np.float32)
        texture = np.concatenate([arrays[:, 6:8], 0.1 * arrays[:, 8:9]], 1)
        if g.kind in FEET:
            left = np.isin(region, _LEFT)
            name = 'Sock' if g.kind == 'socks' else 'Shoe'
            label = np.where(left, part(f'Left_{name}'), part(f'Right_{name}')).astype(np.uint8)
        elif g.kind == 'belt':
            label = np.full(len(faces), part('Apparel'), np.uint8)
        elif g.kind == 'jumpsuit':
            legs = np.isin(region, _LEG_REGIONS)
            label = np.where(legs, part('Lower_Clothing'), part('Upper_Clothing')).astype(np.uint8)
        else:
            label = np.full(
                len(faces),
                part('Lower_Clothing' if g.kind in LOWER or g.kind == 'skirt' else 'Upper_Clothing'),
                np.uint8,
            )
        if g.kind == 'shoes':
            lip_class = np.where(left, lip('Left-shoe'), lip('Right-shoe')).astype(np.uint8)
        else:
            name = (
                'Socks'
                if g.kind == 'socks'
                else self.below_belt
                if g.kind == 'belt'
                else LIP_OF.get(g.kind, 'UpperClothes')
            )
            lip_class = np.full(len(faces), lip(name), np.uint8)
        for rows, material in ((~trim, g.material), (trim, g.trim)):
            if rows.any():
                self.surfaces.append(
                    Surface(
                        g.kind,
                        vertices,
                        faces[rows],
                        material,
                        texture,
                        label[rows],
                        lip_class[rows],
                        region[rows],
                        normals,
                    )
                )

    def sheet(
        self, name: str, points: np.ndarray, out: np.ndarray, material: Material, uv: np.ndarray | None, g: Garment
    ) -> None:
        """Add a grid (R, C, 3) that belongs to a garment of the upper body; ``out`` (R, 3) points to the outer side."""
        rows, columns = points.shape[:2]
        faces = grid_faces(rows, columns)
        flat = points.reshape(-1, 3).astype(np.float32)
        normals = vertex_normals(flat, faces)
        last = normals.reshape(rows, columns, 3)[:, columns // 2 :]
        if (last * np.broadcast_to(out, (rows, 3))[:, None]).sum() < 0:
            faces, normals = faces[:, ::-1].copy(), -normals
        texture = (
            None if uv is None else np.concatenate([uv.reshape(-1, 2), np.zeros((len(flat), 1))], 1).astype(np.float32)
        )
        labels = part('Upper_Clothing'), lip(LIP_OF.get(g.kind, 'UpperClothes')), REGIONS.index('torso')
        self.surfaces.append(Surface(name, flat, faces, material, texture, *labels, normals))

    def _sag(self, rest: np.ndarray, g: Garment) -> np.ndarray:
        """Pose a coarse layer; loose parts hang down from the limb."""
        suit = self.suit
        posed = self.pose(rest, self.matrices)
        slack = rest - self.rest
        slack = np.sqrt(np.einsum('ij,ij->i', slack, slack))
        slack = np.clip(slack - 0.008 * self.scale, 0, 0.05) * 0.6
        axes = unit(np.matmul(self.matrices[:, :3, :3], suit.axes[:, :, None])[:, :, 0])
        down = np.array([0, 0, -1.0]) - axes * -axes[:, 2:]
        inside = self.inside(g)
        shoulder = 1 - 0.85 * smoothstep(0.36, 0.46, suit.coarse_places.p[:, 2]) * (
            suit.coarse_places.arm_weight < 0.75
        )
        shift = down * (slack * shoulder)[:, None] * (inside > -0.1)[:, None]
        for _ in range(2):
            shift = suit.mean @ shift
        return (posed + shift).astype(np.float32)
