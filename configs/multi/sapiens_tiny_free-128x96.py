_base_ = './_base_/free-128x96.py'
