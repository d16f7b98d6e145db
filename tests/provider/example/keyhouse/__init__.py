"""Keyhouse, a made-up provider: what a stranger writes beside the kit, by the guide's steps."""

from leaseholder.providers.kit.adapter import Registration
from tests.provider.example.keyhouse.adapter import Keyhouse

ADAPTER = Registration(name="keyhouse", build=Keyhouse, tails=("/v1",))
