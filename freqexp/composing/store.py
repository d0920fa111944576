"""The schemas in Hydra's ConfigStore, the only place that knows it."""

from __future__ import annotations

import functools

from freqexp.config.cluster import ClusterConfig
from freqexp.config.run import RunConfig
from freqexp.config.saved import compressor_schema
from freqexp.schemas.compressor import COMPRESSORS
from freqexp.schemas.model import ModelConfig
from freqexp.schemas.needles import NeedlesConfig
from freqexp.schemas.outside_model import OutsideModelConfig
from freqexp.schemas.profile import ProfileConfig
from freqexp.schemas.render import RENDERS
from freqexp.schemas.section import option_name
from freqexp.schemas.served import ServedConfig


@functools.cache
def register() -> None:
    """Put the schemas into Hydra's ConfigStore, where the YAML files' defaults lists name them."""
    from hydra.core.config_store import ConfigStore

    from freqexp.composing.sources import install

    install()
    store = ConfigStore.instance()
    store.store(group="schema", name="run", node=RunConfig, package="_global_")
    for name, section in (
        ("model", ModelConfig),
        ("served", ServedConfig),
        ("outside_model", OutsideModelConfig),
        ("profile", ProfileConfig),
        ("needles", NeedlesConfig),
        ("cluster", ClusterConfig),
    ):
        store.store(group="schema", name=name, node=section)
    for compressor in COMPRESSORS:
        node = compressor_schema(compressor)
        store.store(group="schema/compressor", name=option_name(compressor), node=node)
    for render in RENDERS:
        store.store(group="schema/render", name=option_name(render), node=render)
