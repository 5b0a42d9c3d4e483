"""``sapiens index`` from a clone of the repository. The code is sapiens/commands/index.py."""

from sapiens.commands import run

if __name__ == '__main__':
    run('index')
