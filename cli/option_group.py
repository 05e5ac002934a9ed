"""Options that several commands share: declared once as a dataclass, given to each command as one value.

@app.command()
@with_options(Signing)
def pause(job: JobArgument, options: Signing) -> None: ...
"""

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from typing import Any

NAME = "options"


def with_options(group: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The command's parameter `options` is replaced by the fields of the dataclass `group`, each an option."""
    shared = list(signature(group, eval_str=True).parameters.values())

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [one for one in signature(function, eval_str=True).parameters.values() if one.name != NAME]

        def command(**values: Any) -> None:
            options = group(**{one.name: values.pop(one.name) for one in shared})
            function(**values, **{NAME: options})

        # Typer reads the signature, as the shell's completion does.
        parameters = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in (*own, *shared)]
        command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # a function takes any attribute
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        return command

    return decorate
