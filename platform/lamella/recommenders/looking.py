"""Looks at the files of a published version: the Eyes of the use case, with what was seen kept for the next look."""

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from lamella.errors import ModelCorrupt, NotFound
from lamella.recommenders import insight
from lamella.recommenders.artifact import FactorModel
from lamella.recommenders.learning import CURVE
from lamella.services.insight import Biases, Cluster, Course, Look, MapPoint, Neighbours, Wanted
from lamella.services.model_ports import ModelVersion

BINS: Final = 24
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)

_KEPT_LOOKS: Final = 16


class VersionFiles(Protocol):
    """The files of published versions; a registry is one."""

    def load(self, version: ModelVersion) -> FactorModel:
        """The matrices. Raises ModelCorrupt."""
        ...

    def read(self, version: ModelVersion, filename: str) -> bytes:
        """A further file of the version. Raises NotFound or ModelCorrupt."""
        ...


class ModelEyes:
    """Looks at versions. The last looks are kept, and of the models the one that was asked for last."""

    def __init__(self, files: VersionFiles) -> None:
        self._files = files
        self._looks: OrderedDict[tuple[str, str, Wanted], Look] = OrderedDict()
        self._space: tuple[str, FactorModel, insight.Space] | None = None
        self._lock = threading.Lock()

    def look(self, version: ModelVersion, wanted: Wanted) -> Look:
        """What is inside. One look at a time is worked out; the others wait for it. Raises ModelCorrupt."""
        asked = (version.reference, version.digest, wanted)
        with self._lock:
            known = self._looks.pop(asked, None)
            if known is None:
                model, space = self._open(version)
                known = look_at(model, space, self._course(version), wanted)
            self._looks[asked] = known
            if len(self._looks) > _KEPT_LOOKS:
                self._looks.popitem(last=False)
            return known

    def neighbours(self, version: ModelVersion, item: str, count: int) -> Neighbours:
        """The items nearest to `item` by the cosine. Raises NotFound for an unknown item, and ModelCorrupt."""
        with self._lock:
            model, space = self._open(version)
        if item not in model.item_rows:
            raise NotFound("item", item, next_step=f"{version.reference} was trained without it")
        if space.name is None:
            return Neighbours(found=(), undefined=_no_vectors(version.kind))
        try:
            return Neighbours(found=tuple(insight.neighbours(space, item, count)))
        except KeyError:
            return Neighbours(found=(), undefined=f"{version.reference} has learned nothing of {item}: a zero vector")

    def _open(self, version: ModelVersion) -> tuple[FactorModel, insight.Space]:
        if self._space is None or self._space[0] != version.digest:
            model = self._files.load(version)
            self._space = (version.digest, model, insight.item_space(model))
        return self._space[1], self._space[2]

    def _course(self, version: ModelVersion) -> Course | None:
        try:
            packed = self._files.read(version, CURVE)
        except NotFound:
            return None
        return read_course(packed, source=f"{version.reference}: {CURVE}")


def look_at(model: FactorModel, space: insight.Space, course: Course | None, wanted: Wanted) -> Look:
    """Everything that can be seen of a model, as `wanted` says; see Look."""
    clusters = insight.cluster(space.vectors, wanted.clusters, wanted.seed)
    plane = insight.principal_plane(space.vectors)
    drawn = insight.sample(len(space.keys), wanted.points, wanted.seed).tolist()
    known = insight.has_evidence(model)
    undefined = {}
    if not len(model.user_ids):
        undefined["users"] = "the model has no users of its own: everybody gets the same biases"
    if not space.keys:
        undefined["map"] = undefined["clusters"] = "the model has no vectors of items"
    if course is None:
        undefined["curve"] = "the version has no learning curve: nothing was trained epoch by epoch"
    return Look(
        items=len(model.item_ids),
        users=len(model.user_ids),
        space=space.name,
        length=space.vectors.shape[1],
        placed=len(space.keys),
        item_biases=biases(
            [key for key, has in zip(model.item_ids, known.tolist(), strict=True) if has],
            model.item_bias[known],
            wanted.ends,
        ),
        user_biases=biases(model.user_ids, model.user_bias, wanted.ends),
        clusters=tuple(_cluster(space, clusters, label, wanted.ends) for label in range(len(clusters.centres))),
        points=tuple(
            MapPoint(
                item=space.keys[row],
                cluster=int(clusters.labels[row]) + 1,
                x=float(plane.points[row, 0]),
                y=float(plane.points[row, 1]),
            )
            for row in drawn
        ),
        explained=plane.shares,
        course=course,
        undefined=undefined,
    )


def biases(keys: Sequence[str], values: NDArray[np.float32], ends: int) -> Biases:
    """The histogram of the biases in equal bins, and the `ends` highest and lowest; of equal ones the smaller key."""
    found = values.astype(np.float64)
    if not len(found):
        return Biases(count=0, mean=None, deviation=None, quantiles={}, edges=(0.0,), counts=(), top=(), bottom=())
    counts, edges = np.histogram(found, bins=BINS)
    order = sorted(range(len(keys)), key=lambda row: (found[row], keys[row]))
    top = sorted(range(len(keys)), key=lambda row: (-found[row], keys[row]))[:ends]
    return Biases(
        count=len(found),
        mean=float(found.mean()),
        deviation=float(found.std()),
        quantiles={f"{share:g}": float(np.quantile(found, share)) for share in QUANTILES},
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        top=tuple((keys[row], float(found[row])) for row in top),
        bottom=tuple((keys[row], float(found[row])) for row in order[:ends]),
    )


def read_course(packed: bytes, *, source: str) -> Course:
    """The learning curve that a training wrote. Raises ModelCorrupt for what is none; `source` names it."""
    try:
        document = json.loads(packed)
        course = Course(
            best_epoch=int(document["best_epoch"]),
            training=tuple(float(loss) for loss in document["training"]),
            validation=tuple(float(loss) for loss in document["validation"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ModelCorrupt(f"{source} is no learning curve ({error}); publish the model again") from error
    losses = np.array([*course.training, *course.validation])
    if len(course.validation) != len(course.training) + 1 or not np.isfinite(losses).all():
        raise ModelCorrupt(f"{source} has no finite loss for every epoch on both parts; publish the model again")
    return course


def _cluster(space: insight.Space, clusters: insight.Clusters, label: int, ends: int) -> Cluster:
    rows = np.flatnonzero(clusters.labels == label)
    nearest = rows[np.argsort(clusters.distances[rows], kind="stable")[:ends]].tolist()
    return Cluster(
        size=len(rows),
        typical=tuple((space.keys[row], float(clusters.distances[row])) for row in nearest),
    )


def _no_vectors(kind: str) -> str:
    return f"models of the kind {kind} give items no vectors"
