"""``sapiens submit`` from a clone of the repository. The code is sapiens/commands/submit.py."""

from sapiens.commands import run

if __name__ == '__main__':
    run('submit')
