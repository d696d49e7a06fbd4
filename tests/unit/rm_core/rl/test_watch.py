import pytest

from rm_core.rl.config import WatchConfig
from rm_core.rl.watch import Look, best_look, reason_to_end


def look(step: int, reward: float, gold: float, *, error: float = 0.01, length: float = 10.0, kl: float = 0.0) -> Look:
    return Look(step=step, reward=reward, gold=gold, gold_error=error, length=length, kl=kl)


RISES = [look(0, 0.0, 0.5), look(50, 1.0, 0.7)]


def test_it_goes_on_while_gold_rises() -> None:
    assert reason_to_end([*RISES, look(100, 2.0, 0.9)], WatchConfig()) is None


def test_it_ends_where_gold_falls_for_so_many_looks_while_the_reward_rises() -> None:
    looks = [*RISES, look(100, 2.0, 0.6), look(150, 3.0, 0.5)]
    assert reason_to_end(looks[:3], WatchConfig()) is None
    reason = reason_to_end(looks, WatchConfig())
    assert reason is not None and "0.700 of step 50" in reason and "from 1.000 to 3.000" in reason
    assert reason_to_end(looks, WatchConfig(patience=0)) is None
    assert best_look(looks) == looks[1]


@pytest.mark.parametrize(
    "looks",
    [
        [*RISES, look(100, 2.0, 0.6, error=0.2), look(150, 3.0, 0.6, error=0.2)],
        [*RISES, look(100, 0.5, 0.6), look(150, 0.2, 0.5)],
    ],
)
def test_it_goes_on_where_the_fall_is_noise_or_the_reward_falls_too(looks: list[Look]) -> None:
    assert reason_to_end(looks, WatchConfig()) is None


def test_answers_that_grow_and_a_policy_that_goes_far_end_it() -> None:
    longer = reason_to_end([look(0, 0, 0), look(50, 0, 0, length=31)], WatchConfig(max_length_ratio=3))
    assert longer is not None and "max_length_ratio=3" in longer
    further = reason_to_end([look(0, 0, 0), look(50, 0, 0, kl=0.3)], WatchConfig(max_kl=0.2))
    assert further is not None and "0.300 nats" in further
