"""The training loop that all networks share: Adam on mini-batches, early stopping in time, progress for people."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, SupportsFloat, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lamella.errors import TrainingFault
from lamella.recommenders.keras_runtime import Network, Runtime, Scalar, Tensor, Variable
from lamella.recommenders.kind import Progress

Batch: TypeAlias = tuple[NDArray[np.generic], ...]
"""Arrays that the network takes; the last one is `clicked`, one value an impression."""

PATIENCE: Final = 3
"""Epochs without a better validation loss before the training stops and the best epoch's weights come back."""

CURVE: Final = "curve.json"
"""The file of a version that holds its Curve."""

_PULSE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What is minimised, and over what.

    `network` holds every weight. `tables` are those with a row for each user, item or rank; a row is met rarely, so
    they learn `table_pace` times as fast as the rest. `logits` maps a batch's tensors but the last, and whether it is
    training, to one logit an impression. `penalty` is half the squared weights times their precisions;
    `impressions` is how many the training part has, so that penalty / impressions stands beside the mean log loss.
    `training_batches` yields one epoch, in an order drawn from the generator; `validation_batches` yields the
    validation part.
    """

    network: Network
    tables: Sequence[Variable]
    table_pace: float
    logits: Callable[[tuple[Tensor, ...], bool], Tensor]
    penalty: Callable[[], Scalar]
    impressions: int
    training_batches: Callable[[np.random.Generator], Iterator[Batch]]
    validation_batches: Callable[[], Iterator[Batch]]


class Curve(NamedTuple):
    """The mean loss of each epoch on both parts, `validation` from the start (0) on; `best_epoch` counts like that."""

    best_epoch: int
    training: tuple[float, ...]
    validation: tuple[float, ...]

    def packed(self) -> bytes:
        """The curve as JSON."""
        return json.dumps(self._asdict()).encode()


def packed(curve: Curve | None) -> dict[str, bytes]:
    """The file of the curve by its name; none where nothing was learned."""
    return {} if curve is None else {CURVE: curve.packed()}


def learn(
    runtime: Runtime,
    course: Course,
    *,
    epochs: int,
    learning_rate: float,
    rng: np.random.Generator,
    progress: Progress,
) -> Curve:
    """The course of the losses; the network now has the weights of the epoch with the least validation loss.

    Raises TrainingFault if a loss is not finite.
    """
    step, loss_of = _compiled(runtime, course, learning_rate)
    best_loss, best_epoch, best_weights = _mean_loss(loss_of, course), 0, course.network.get_weights()
    pulse, training, validation = Pulse(progress, epochs), [], [best_loss]
    for epoch in range(1, epochs + 1):
        total = seen = 0.0
        for batch in course.training_batches(rng):
            total, seen = total + float(step(*batch)) * len(batch[-1]), seen + len(batch[-1])
            pulse.advance(len(batch[-1]) / course.impressions, best_loss)
        loss = _mean_loss(loss_of, course)
        if not np.isfinite(loss):
            raise TrainingFault(f"the loss is {loss} after epoch {epoch}; lower learning_rate={learning_rate}")
        training.append(total / seen)
        validation.append(loss)
        if loss < best_loss:
            best_loss, best_epoch, best_weights = loss, epoch, course.network.get_weights()
        pulse.finish_epoch(epoch, loss)
        if epoch - best_epoch >= PATIENCE:
            break
    course.network.set_weights(best_weights)
    return Curve(best_epoch, tuple(training), tuple(validation))


def _compiled(
    runtime: Runtime, course: Course, learning_rate: float
) -> tuple[Callable[..., SupportsFloat], Callable[..., SupportsFloat]]:
    """A training step and a loss, both traced once for any batch length."""
    tf, keras = runtime.tf, runtime.keras
    names = {table.path for table in course.tables}
    others = [each for each in course.network.trainable_variables if each.path not in names]
    groups = [(list(course.tables), learning_rate * course.table_pace), (others, learning_rate)]
    optimizers = [keras.optimizers.Adam(learning_rate=rate) for _, rate in groups]
    for optimizer, (variables, _) in zip(optimizers, groups, strict=True):
        optimizer.build(variables)
    example = next(course.validation_batches())
    signature = [tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in example]

    def mean_loss(batch: tuple[Tensor, ...], *, training: bool) -> Tensor:
        clicked = batch[-1]
        logits = tf.reshape(course.logits(batch[:-1], training), tf.shape(clicked))
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=clicked, logits=logits))

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def step(*batch: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            fit = mean_loss(batch, training=True)
            loss = tf.add(fit, course.penalty() / course.impressions)
        gradients = tape.gradient(loss, [variables for variables, _ in groups])
        for optimizer, (variables, _), each in zip(optimizers, groups, gradients, strict=True):
            if variables:
                optimizer.apply(each, variables)
        return fit

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def loss_of(*batch: Tensor) -> Tensor:
        return mean_loss(batch, training=False)

    return step, loss_of


def _mean_loss(loss_of: Callable[..., SupportsFloat], course: Course) -> float:
    total = weight = 0.0
    for batch in course.validation_batches():
        total += float(loss_of(*batch)) * len(batch[-1])
        weight += len(batch[-1])
    return total / weight


class Pulse:
    """Tells the progress, at most twice a second and at each epoch's end; it never falls.

    What an epoch's batches add up to may exceed the epoch by a rounding: it is held to the epoch's end.
    """

    def __init__(self, progress: Progress, epochs: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._progress, self._epochs, self._monotonic = progress, epochs, monotonic
        self._done, self._within = 0, 0.0
        self._started = self._told = monotonic()

    def advance(self, epoch_share: float, loss: float) -> None:
        """So much more of the epoch is behind us, of 1."""
        self._within = min(1.0, self._within + epoch_share)
        if self._monotonic() - self._told >= _PULSE_SECONDS:
            self._tell(self._done + 1, loss)

    def finish_epoch(self, epoch: int, loss: float) -> None:
        """The epoch, counted from 1, is behind us."""
        self._done, self._within = epoch, 0.0
        self._tell(epoch, loss)

    def _tell(self, epoch: int, loss: float) -> None:
        self._told = self._monotonic()
        share = (self._done + self._within) / self._epochs
        left = (self._told - self._started) / max(share, 1e-9) * (1 - share)
        self._progress(share, f"epoch {epoch}/{self._epochs}, loss {loss:.5f}, at most {left:.0f} s left")
