"""Models of which entries are on, as objects that pass messages in log-odds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from sparsesolve import checks
from sparsesolve.backends import Array, Shape, array_namespace

_EDGE = 1e-6


class Inference(NamedTuple):
    """What a support model answers to one message for each entry."""

    log_odds: Array
    """Posterior log-odds of each entry; less the message it is the extrinsic one."""
    log_partition: Array
    """log of the sum of p(s) exp(message · s) over all supports s, batch shape."""
    counts: dict[str, Array]
    """Expected counts from which `learn` fits the parameters."""


class Support(ABC):
    """A distribution p(s) of bits, one for each entry: 1 is on.

    A grid or a tree is another such object. Messages are log-likelihood ratios
    log p(rest | sₙ = 1) - log p(rest | sₙ = 0), arrays with the batch axes in front.
    The parameters are a dict of arrays with one entry for each problem, of batch shape
    and then length one along each axis of the unknown.
    """

    def check(self, x_shape: Shape, tied_axes: tuple[int, ...]) -> None:
        """Refuse an unknown that the model does not fit; any fits by default.

        Entries along `tied_axes` share one bit; messages have length one there.
        """
        return None

    @abstractmethod
    def start(self, like: Array) -> dict[str, Array]:
        """Return first parameters; `like` has their shape, dtype and device."""

    @abstractmethod
    def infer(
        self, message: Array, parameters: dict[str, Array], n_axes: int
    ) -> Inference:
        """Return the posterior of the bits under unary messages.

        The last `n_axes` axes are those of one unknown; those in front, of the batch.
        """

    @abstractmethod
    def learn(
        self, counts: dict[str, Array], parameters: dict[str, Array]
    ) -> dict[str, Array]:
        """Return parameters under which the counts are at least as likely."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({shown})"


class IndependentSupport(Support):
    """Each entry is on with the same probability, whatever the others are.

    Parameters
    ----------
    rate : float
        That probability, above 0 and below 1; where to start if it is learned. The
        default of 0.1 is sparse, and soon forgotten.
    learn_parameters : bool
        Whether the rate is fitted to the data, as it is by default.

    Raises
    ------
    ValueError
        `rate` is not between 0 and 1.
    """

    def __init__(self, rate: float = 0.1, *, learn_parameters: bool = True) -> None:
        self.rate = _probability("rate", rate)
        self.learn_parameters = learn_parameters

    def start(self, like: Array) -> dict[str, Array]:
        return {"rate": array_namespace(like).full_like(like, self.rate)}

    def infer(
        self, message: Array, parameters: dict[str, Array], n_axes: int
    ) -> Inference:
        xp, rate = array_namespace(message), parameters["rate"]
        predicted = xp.log(rate) - xp.log1p(-rate)
        log_odds = predicted + message
        counts = {
            "on": _total(sigmoid(log_odds), n_axes),
            "entries": _total(xp.ones_like(message), n_axes),
        }
        return Inference(log_odds, _log_partition(predicted, message, n_axes), counts)

    def learn(
        self, counts: dict[str, Array], parameters: dict[str, Array]
    ) -> dict[str, Array]:
        if not self.learn_parameters:
            return parameters
        return {"rate": _inside(counts["on"] / counts["entries"])}


class MarkovChain(Support):
    """Entries that are on come in runs along an axis: a stationary two-state chain.

    The share of entries that are on is ``p01 / (p01 + p10)``, the mean length of a run
    ``1 / p10``. With ``p01 == 1 - p10`` it is `IndependentSupport`.

    Parameters
    ----------
    p01 : float
        Probability that an entry is on after one that is off. With `p10`, the default
        starts at a tenth of the entries on, in runs of four.
    p10 : float
        Probability that an entry is off after one that is on.
    axis : int
        Axis of one unknown along which the chain runs, the last by default; entries
        side by side on other axes are chains of their own.
    learn_parameters : bool
        Whether both probabilities are fitted to the data, as they are by default.

    Raises
    ------
    TypeError, ValueError
        A probability is not between 0 and 1, `axis` no integer; `check`: the unknown
        has no such axis.

    Notes
    -----
    The forward-backward algorithm as prefix products of the two-by-two matrices of the
    chain, by doubling, in logarithms: log₂(n) passes over arrays, whatever the odds.
    The fit of the probabilities takes the stationary start into account: with n chains,
    α the expected number of steps 0 → 1 and of starts at 1, β that of steps 0 → 0 and
    σ = p01 + p10, the new p01 is the root of α/p - β/(1-p) = n/σ, the maximiser of a
    tangent bound of the expected log-likelihood, which hence never falls.

    References
    ----------
    Liu, Liu, Lian, Lau and Zhao, IEEE Trans. Wireless Communications 19(5), 2020, eqs.
    45-48 (the same messages in odds).
    """

    def __init__(
        self,
        p01: float = 1 / 36,
        p10: float = 1 / 4,
        *,
        axis: int = -1,
        learn_parameters: bool = True,
    ) -> None:
        self.p01, self.p10 = _probability("p01", p01), _probability("p10", p10)
        if not isinstance(axis, int):
            raise TypeError(f"axis is {axis!r}; wanted an integer")
        self.axis, self.learn_parameters = axis, learn_parameters

    def check(self, x_shape: Shape, tied_axes: tuple[int, ...]) -> None:
        if not -len(x_shape) <= self.axis < len(x_shape):
            raise ValueError(
                f"axis is {self.axis}; the unknown of shape {tuple(x_shape)} has axes "
                f"0 to {len(x_shape) - 1}"
            )
        if self.axis % len(x_shape) in tied_axes:
            raise ValueError(
                f"the chain runs along axis {self.axis}, which is tied; give "
                "MarkovChain another axis"
            )

    def start(self, like: Array) -> dict[str, Array]:
        full_like = array_namespace(like).full_like
        return {"p01": full_like(like, self.p01), "p10": full_like(like, self.p10)}

    def infer(
        self, message: Array, parameters: dict[str, Array], n_axes: int
    ) -> Inference:
        xp, axis = array_namespace(message), message.ndim - n_axes
        axis += self.axis % n_axes
        p01, p10 = parameters["p01"], parameters["p10"]
        unary = xp.moveaxis(message, axis, -1)
        bits = xp.stack([xp.zeros_like(unary), unary], axis=-1)
        first = xp.stack([xp.log(p10), xp.log(p01)], axis=-1)
        first = first - xp.log(p01 + p10)[..., None]
        steps = _log_steps(p01, p10)
        ahead = _forward(bits, steps, first)
        behind = _backward(bits, steps)
        predicted = ahead[..., 1] - ahead[..., 0]
        log_odds = predicted + unary + behind[..., 1] - behind[..., 0]
        pairs = (ahead + bits)[..., :-1, :, None] + steps
        pairs = pairs + (behind + bits)[..., 1:, None, :]
        pairs = xp.exp(pairs - _log_sum(_log_sum(pairs))[..., None, None])
        counts = {
            f"{i}{j}": _total(pairs[..., i, j], n_axes)
            for i, j in ((0, 0), (0, 1), (1, 0), (1, 1))
        }
        counts["starts_on"] = _total(sigmoid(log_odds[..., :1]), n_axes)
        counts["starts_off"] = _total(sigmoid(-log_odds[..., :1]), n_axes)
        log_partition = _log_partition(predicted, unary, n_axes)
        return Inference(xp.moveaxis(log_odds, -1, axis), log_partition, counts)

    def learn(
        self, counts: dict[str, Array], parameters: dict[str, Array]
    ) -> dict[str, Array]:
        if not self.learn_parameters:
            return parameters
        slope = (counts["starts_on"] + counts["starts_off"]) / (
            parameters["p01"] + parameters["p10"]
        )
        p01 = _root(counts["01"] + counts["starts_on"], counts["00"], slope)
        p10 = _root(counts["10"] + counts["starts_off"], counts["11"], slope)
        return {"p01": _inside(p01), "p10": _inside(p10)}


def support_model(support: Any) -> Support:
    """Return a support model from one, or from "independent" or "markov"."""
    if isinstance(support, Support):
        return support
    known = {"independent": IndependentSupport, "markov": MarkovChain}
    if not isinstance(support, str) or support not in known:
        raise ValueError(
            f"support is {support!r}; wanted 'independent', 'markov' or a model such "
            "as sparsesolve.priors.supports.MarkovChain()"
        )
    model: Support = known[support]()
    return model


def sigmoid(log_odds: Array) -> Array:
    """Return the probability of log-odds, without overflow."""
    xp = array_namespace(log_odds)
    small = xp.exp(-xp.abs(log_odds))
    return xp.where(log_odds < 0, small, xp.ones_like(small)) / (1 + small)


def _probability(name: str, value: Any) -> float:
    number = checks.positive_number(name, value)
    if number >= 1:
        raise ValueError(f"{name} is {number:g}; wanted a probability below 1")
    return number


def _inside(p: Array) -> Array:
    """Keep a learned probability where its log-odds are moderate."""
    return array_namespace(p).clip(p, _EDGE, 1 - _EDGE)


def _root(up: Array, stay: Array, slope: Array) -> Array:
    """Return the root in [0, 1] of up/p - stay/(1-p) = slope."""
    middle = up + stay + slope
    inside = array_namespace(up).clip(middle * middle - 4 * up * slope, 0, None)
    return 2 * up / (middle + inside**0.5)


def _total(values: Array, n_axes: int) -> Array:
    """Sum what belongs to one problem; axes stay, with length one."""
    axes = tuple(range(values.ndim - n_axes, values.ndim))
    return array_namespace(values).sum(values, axis=axes, keepdims=True)


def _log_partition(predicted: Array, message: Array, n_axes: int) -> Array:
    """Return Σ log((1 - p) + p eᵐ), with p each entry's prediction from those before.

    Summands of moderate size, unlike the products of matrices: exact in float32 too.
    """
    xp = array_namespace(message)
    zero = xp.zeros_like(message)
    predicted = predicted + zero
    gained = xp.logaddexp(zero, predicted + message) - xp.logaddexp(zero, predicted)
    return xp.sum(gained, axis=tuple(range(message.ndim - n_axes, message.ndim)))


def _log_steps(p01: Array, p10: Array) -> Array:
    """Return log P(next | this) as (..., this, next)."""
    xp = array_namespace(p01)
    off = xp.stack([xp.log1p(-p01), xp.log(p01)], axis=-1)
    return xp.stack([off, xp.stack([xp.log(p10), xp.log1p(-p10)], axis=-1)], axis=-2)


def _forward(bits: Array, steps: Array, first: Array) -> Array:
    """Return log P(sₙ, messages before n) but for a term that both states share."""
    xp = array_namespace(bits)
    ways = _prefix_products(bits[..., :-1, :, None] + steps)
    later = _log_sum(xp.matrix_transpose(first[..., :, None] + ways))
    start = xp.zeros_like(bits[..., :1, :]) + first
    return xp.concat([start, later], axis=-2)


def _backward(bits: Array, steps: Array) -> Array:
    """Return log P(messages after n | sₙ) but for a term that both states share."""
    xp = array_namespace(bits)
    ways = xp.flip(steps + bits[..., 1:, None, :], axis=-3)
    ways = _prefix_products(xp.matrix_transpose(ways))
    earlier = _log_sum(xp.matrix_transpose(xp.flip(ways, axis=-3)))
    return xp.concat([earlier, xp.zeros_like(bits[..., :1, :])], axis=-2)


def _prefix_products(matrices: Array) -> Array:
    """Return M₀, M₀M₁, M₀M₁M₂, ... in logarithms, each but for a factor."""
    xp, reach = array_namespace(matrices), 1
    while reach < matrices.shape[-3]:
        left, right = matrices[..., :-reach, :, :], matrices[..., reach:, :, :]
        product = xp.logaddexp(
            left[..., :, 0, None] + right[..., None, 0, :],
            left[..., :, 1, None] + right[..., None, 1, :],
        )
        product = product - xp.max(product, axis=(-2, -1), keepdims=True)
        matrices = xp.concat([matrices[..., :reach, :, :], product], axis=-3)
        reach *= 2
    return matrices


def _log_sum(logs: Array) -> Array:
    """Return the log of the sum over the last axis, of length two."""
    return array_namespace(logs).logaddexp(logs[..., 0], logs[..., 1])
