"""``sapiens ablate`` from a clone of the repository. The code is sapiens/commands/ablate.py."""

from sapiens.commands import run

if __name__ == '__main__':
    run('ablate')
