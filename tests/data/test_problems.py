"""Selection as in the paper, the hold-out and its guard."""

import pytest
import torch

from core.data.problems import Problem
from core.diagnostics.accuracy import accuracy
from core.io.errors import InputError
from core.models.mlp import MLP


def test_labels_are_one_for_odd(problem):
    assert problem.labels.tolist() == [digit % 2 for digit in problem.data.targets.tolist()]


def test_training_is_the_first_of_each_class_in_order(problem):
    chosen = problem.select_training(250).tolist()
    labels = problem.labels.tolist()
    first = {label: [index for index, value in enumerate(labels) if value == label][:250] for label in (0, 1)}
    assert chosen == sorted(first[0] + first[1])


@pytest.mark.parametrize("count", [0, 2500, 5000])
def test_more_training_samples_than_there_are(problem, count):
    with pytest.raises(InputError, match=rf"samples_per_class: {count} is not between 1 and 2499.*torchvision"):
        problem.select_training(count)


def test_holdout_is_everything_else(problem):
    trained = problem.select_training(250)
    held_out = problem.holdout(trained)
    assert len(held_out) == 4500
    assert sorted(held_out.tolist() + trained.tolist()) == list(range(5000))


@pytest.mark.parametrize("count", [1, 2, 7, 20])
def test_holdout_selection_is_balanced_and_apart(problem, trained_indices, count):
    chosen = problem.select_holdout(count, trained=trained_indices)
    assert len(set(chosen.tolist())) == count
    assert not set(chosen.tolist()) & set(trained_indices.tolist())
    assert int(problem.labels[chosen].sum()) == count - count // 2
    free = problem.holdout(trained_indices)
    for label in (0, 1):  # without a generator: the first in order
        members = chosen[problem.labels[chosen] == label]
        assert members.tolist() == free[problem.labels[free] == label][:len(members)].tolist()


def test_random_selection_follows_its_seed_and_pool(problem, trained_indices):
    def draw(seed: int, **options) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return problem.select_holdout(6, trained=trained_indices, generator=generator, **options).tolist()

    pool = list(range(4000, 4030))
    assert draw(1) == draw(1) != draw(2)
    assert set(draw(3, pool=pool)) <= set(pool)


def test_more_holdout_samples_than_there_are(problem, trained_indices):
    with pytest.raises(InputError, match=r"samples: 4982 needs 2491 odd digits, but there are 2490"):
        problem.select_holdout(4982, trained=trained_indices)


def test_the_guard_names_pretrained_samples_and_says_why(problem, trained_indices):
    first, second = trained_indices[:2].tolist()
    with pytest.raises(InputError, match=rf"indices: .*pretrained on {first}, {second};.*near 1e-18.*hold-out"):
        problem.check_holdout([3000, second, first], trained=trained_indices)
    with pytest.raises(InputError, match="and 12 more"):
        problem.check_holdout(trained_indices, trained=trained_indices.tolist())
    with pytest.raises(InputError, match="pretrained on"):
        problem.select_holdout(1, trained=trained_indices, pool=trained_indices)


@pytest.mark.parametrize(("indices", "message"), [
    ([3000, 3000], "indices: 3000 given more than once"), ([5000], "indices: 5000 in .* outside 0 to 4999"),
    ([-1, 4000], "indices: -1 in .* outside 0 to 4999")])
def test_the_guard_refuses_impossible_indices(problem, trained_indices, indices, message):
    with pytest.raises(InputError, match=message):
        problem.check_holdout(indices, trained=trained_indices)


def test_the_guard_passes_good_indices_in_their_order(problem, trained_indices):
    assert problem.check_holdout([4000, 3000], trained=trained_indices).tolist() == [4000, 3000]


def test_training_indices_of_another_dataset(problem):
    with pytest.raises(InputError, match="59000 in the base's training indices"):
        problem.holdout([5, 59000])


def test_images_follow_indices(problem: Problem):
    assert torch.equal(problem.images([7, 3]), problem.data.images[[7, 3]])


def test_accuracy_counts_signs():
    network = MLP([4, 2, 1], image_shape=(1, 2, 2), biases=[False, False]).requires_grad_(False)
    network.layers[0].weight.copy_(torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]))
    network.layers[1].weight.copy_(torch.tensor([[1.0, -1.0]]))  # f(x) = x_0
    x = torch.tensor([1.0, -2.0, 3.0, -4.0])[:, None, None, None].expand(4, 1, 2, 2)
    for batch_size in (1, 3, 4):
        assert accuracy(network, x, torch.tensor([1, 0, 0, 0]), batch_size=batch_size) == 0.75


def test_a_trained_network_generalises(tiny_network, problem, trained_indices):
    held_out = problem.holdout(trained_indices)
    assert accuracy(tiny_network, problem.images(trained_indices).double(), problem.labels[trained_indices]) == 1.0
    assert accuracy(tiny_network, problem.images(held_out).double(), problem.labels[held_out]) > 0.6
