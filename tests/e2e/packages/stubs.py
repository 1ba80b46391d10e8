"""Empty modules for what a package imports and doesn't use here."""
import importlib.machinery
import sys
import types


class Anything(types.ModuleType):
    """Every name in it is a type of which nothing comes."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda self, *args, **options: None})


def put(*names):
    for name in names:
        sys.modules[name] = Anything(name)
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)


def leave_out(*names):
    """As if they were not installed."""
    for name in names:
        sys.modules[name] = None


def without_init(name, folder):
    """A package whose own __init__ isn't run, since that imports far more than its modules need."""
    module = types.ModuleType(name)
    module.__path__ = [str(folder)]
    sys.modules[name] = module
