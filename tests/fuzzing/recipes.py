"""Recipes: each is read, or refused in words."""

import yaml
from hypothesis import strategies as st

from benchmarks.training.recipes import Recipe, list_recipes, load_recipe
from tests.fuzzing.mutation import changed_bytes, changed_values, kept

SUFFIX = ".yaml"
_SEEDS = [load_recipe(name).model_dump(mode="json") for name in list_recipes()]
_TAGS = ("!!bool maybe", "!!timestamp x", "!!int x", "!!float x", "!!binary x", "!!set {a, b}")
_ODD = (
    *(f"{field}: {tag}" for field in ("lr", "steps", "name") for tag in _TAGS),
    *("&a [*a]", "a: &a {b: *a}", "? [x]\n: y", "<<: {a: b}", "x: *x", "--- 1\n--- 2", "%T"),
    "steps: 0x_", "steps: 1:60:99", "lr: .inf", "lr: 2e-4", "[" * 3000 + "]" * 3000,
    "\n".join(f"a{i}: &a{i} [{f'*a{i - 1}, ' * 9}1]" for i in range(1, 12)).replace("*a0", "0"),
)  # fmt: skip


def _write(content):
    return yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass")


INPUTS = (
    changed_values(_SEEDS).map(_write)
    | changed_bytes([*map(_write, _SEEDS), *kept("recipes")])
    | st.tuples(st.sampled_from(_SEEDS).map(_write), st.sampled_from(_ODD)).map(
        lambda pair: pair[0] + pair[1].encode()
    )
    | st.sampled_from(_ODD).map(str.encode)
)


def attempt(data, folder):
    path = folder / "recipe.yaml"
    path.write_bytes(data)
    recipe = load_recipe(str(path))
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    assert recipe.learning_rate(0) >= 0
    assert recipe.digest
