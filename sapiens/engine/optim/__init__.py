from .optim_wrapper import OptimWrapper
from .param_groups import ParamGroupConstructor, make_param_groups

__all__ = ['OptimWrapper', 'ParamGroupConstructor', 'make_param_groups']
