"""The time left counts starting, training and testing apart."""

import pytest

from attn_tutorial.engine.time_left import TimeLeft


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def left(clock):
    return TimeLeft({"a": 6000, "b": 6000, "long": 18000}, clock)


def run(left, clock, name, start, train, test, images=6000):
    left.began(name)
    clock.now += start
    left.progress(name, 0)
    clock.now += train
    left.progress(name, images)
    clock.now += test
    left.ended(name, True)


def test_before_training_nothing_is_said(left, clock):
    assert left.in_words is None
    left.began("a")
    clock.now += 30
    left.progress("a", 0)
    assert left.in_words is None


def test_before_the_first_test_only_training_is_estimated(left, clock):
    left.began("a")
    clock.now += 30
    left.progress("a", 0)
    clock.now += 60
    left.progress("a", 3000)
    # 20 ms an image: 3,000 + 6,000 + 18,000 images, and two more starts of 30 s.
    assert left.in_words == "about 10 min of training left"


def test_a_long_run_costs_more_training_but_no_more_starting_or_testing(left, clock):
    run(left, clock, "a", start=60, train=120, test=240)
    # b: 60 + 120 + 240; long: 60 + 360 + 240.
    assert left.in_words == "about 18 min left"
    left.places = 2
    assert left.in_words == "about 9 min left"
    run(left, clock, "b", start=60, train=120, test=240)
    assert left.in_words == "about 6 min left"


def test_a_run_in_its_test_has_only_the_rest_of_the_test_left(left, clock):
    run(left, clock, "a", start=0, train=120, test=240)
    run(left, clock, "b", start=0, train=120, test=240)
    left.began("long")
    left.progress("long", 0)
    clock.now += 360
    left.progress("long", 18000)
    assert left.in_words == "about 4 min left"
    clock.now += 120
    left.progress("long", 18000)
    assert left.in_words == "about 2 min left"
    clock.now += 500
    assert left.in_words is None, "longer than the others took"


def test_what_a_resumed_run_had_seen_before_is_no_speed(left, clock):
    left.began("a")
    left.progress("a", 5000)
    clock.now += 60
    left.progress("a", 5500)
    # 120 ms an image: 500 + 6,000 + 18,000 images.
    assert left.in_words == "about 49 min of training left"


def test_runs_that_another_process_trains_do_not_count(left, clock):
    run(left, clock, "a", start=0, train=120, test=240)
    left.ended("long", False)
    assert left.in_words == "about 6 min left"
