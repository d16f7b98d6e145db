"""JSON schemas of models, with the docstrings under their fields as descriptions.

``crds`` makes manifests of them. pydantic's own ``use_attribute_docstrings`` reads and parses the
source of each model as it is imported: a tenth of the time in which a command starts, for texts
that it doesn't print.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Mapping
from itertools import pairwise

import pydantic
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema


class Described(GenerateJsonSchema):
    """pydantic's generator; a field's description is its docstring."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """The schema of one model."""
        made = super().model_schema(schema)
        model: type[pydantic.BaseModel] = schema["cls"]
        said = docstrings(model)
        for name, field in model.model_fields.items():
            if name in said:
                made["properties"][field.alias or name]["description"] = said[name]
        return made


@functools.cache
def docstrings(model: type[pydantic.BaseModel]) -> Mapping[str, str]:
    """The docstrings under a model's fields, those that it inherits among them."""
    found = dict[str, str]()
    for one in reversed(model.__mro__):
        if issubclass(one, pydantic.BaseModel) and one is not pydantic.BaseModel:
            (body,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
            assert isinstance(body, ast.ClassDef)  # noqa: S101 - it is the source of a class
            found |= _under_fields(body)
    return found


def _under_fields(body: ast.ClassDef) -> dict[str, str]:
    found = dict[str, str]()
    for field, text in pairwise(body.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match text:
                case ast.Expr(value=ast.Constant(value=str(said))):
                    found[field.target.id] = inspect.cleandoc(said)
    return found
