"""Packaging: the requirements live in requirements/*.txt and are read from there.

The OpenMMLab libraries (requirements/mminstall.txt) are not listed as dependencies: their own metadata asks for packages that
do not build on current Pythons, so they are installed with ``--no-deps``; ``import sapiens`` says how where they are missing.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.split('#')[0].strip() for line in lines if line.split('#')[0].strip()]


version: dict = {}
exec((ROOT / 'sapiens' / 'version.py').read_text(), version)

setup(
    name='sapiens',
    version=version['__version__'],
    description='Human-centric vision transformers: pretraining, finetuning, evaluation, inference, export',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['sapiens', 'sapiens.*']),
    package_data={'sapiens': ['**/*.json']},
    entry_points={'console_scripts': ['sapiens = sapiens.commands.__main__:main']},
    install_requires=requirements('runtime'),
    extras_require={name: requirements(name) for name in ('optional', 'demo', 'tests')},
    classifiers=[f'Programming Language :: Python :: 3.{minor}' for minor in (10, 11, 12, 13)],
)
