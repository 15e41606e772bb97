from __future__ import annotations

import torch
from exact_animator import exact_model, shifting_pool

from fomaug.integrations import engine as _engine
from fomaug.integrations.engine import apply_there, name_of, own_engine, random_numbers, shared_engine


def test_numbers_repeat_with_torchs_seed():
    torch.manual_seed(2)
    first = random_numbers(5)
    torch.manual_seed(2)
    assert torch.equal(random_numbers(5), first) and len(set(first.tolist())) == 5
    assert first.dtype == torch.int64 and (first >= 0).all()


def test_ranks_with_one_seed_have_different_draws(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    seen = []
    for rank in range(64):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        torch.manual_seed(2)
        seen += random_numbers(4).tolist()
    assert len(set(seen)) == 256 and min(seen) >= 0


def test_a_file_that_changed_is_read_again(tmp_path, tiny_model, tiny_pool):
    from fomaug import DrivingPool

    path = tmp_path / "pool.safetensors"
    tiny_pool.save(path)
    first = shared_engine(path, tiny_model, {}, "cpu")
    same = shared_engine(path, tiny_model, {}, "cpu")
    DrivingPool(tiny_pool.tracks[:2], tiny_pool.model_name, tiny_pool.model_hash).save(path)
    other = shared_engine(path, tiny_model, {}, "cpu")
    assert same.driving is first.driving and len(first.driving) == 3 and len(other.driving) == 2


def test_objects_are_found_by_name_while_they_exist(tiny_model):
    model = exact_model(tiny_model)
    pool = shifting_pool(model)
    engine = shared_engine(name_of(pool), name_of(model), {}, "cpu")
    assert engine.driving is pool and engine.model.hash == model.hash
    gone = name_of(pool)
    del pool, engine
    assert gone not in _engine._objects


def test_paths_and_names_are_their_own_names(tmp_path):
    assert name_of("builtin") == "builtin" and name_of(tmp_path) == str(tmp_path)


def test_the_model_moves_to_the_device_of_the_images(tiny_model, tiny_pool, monkeypatch):
    engine = own_engine(tiny_pool, tiny_model, {"p": 1.0})
    asked = []
    monkeypatch.setattr(engine, "to", asked.append)
    monkeypatch.setattr(engine, "apply", lambda images, params: None)
    motions = engine.draw([1])
    apply_there(engine, torch.zeros(1, 3, 64, 64), motions)
    assert asked == []
    apply_there(engine, torch.zeros(1, 3, 64, 64, device="meta"), motions)
    assert asked == [torch.device("meta")]
