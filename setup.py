"""Packaging. Dependencies are read from requirements/*.txt, and configs/ is copied into the wheel as sapiens/configs.

The OpenMMLab libraries and OpenCV (requirements/mminstall.txt) are not dependencies: they are installed with ``--no-deps``, and
``import sapiens`` prints the command if one is missing.
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.split('#')[0].strip() for line in lines if line.split('#')[0].strip()]


class BuildWithConfigs(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:  # an editable install reads the repository's configs/
            target = Path(self.build_lib) / 'sapiens' / 'configs'
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / 'configs', target, ignore=shutil.ignore_patterns('__pycache__'))


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
    cmdclass={'build_py': BuildWithConfigs},
    packages=find_packages(include=['sapiens', 'sapiens.*']),
    package_data={'sapiens': ['**/*.json', 'apis/web/*.css', 'apis/web/examples/*.jpg', 'weights/*.safetensors']},
    entry_points={'console_scripts': ['sapiens = sapiens.commands.__main__:main']},
    install_requires=requirements('runtime'),
    extras_require={name: requirements(name) for name in ('optional', 'demo', 'distributed', 'tests')},
    classifiers=[f'Programming Language :: Python :: 3.{minor}' for minor in (10, 11, 12, 13)],
)
