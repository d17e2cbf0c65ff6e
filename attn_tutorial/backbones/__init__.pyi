from .cifar_resnet import ResNet as ResNet
from .cifar_resnet import resnet as resnet
from .insert import insert_blocks as insert_blocks
from .whitening import whiten_stem_ as whiten_stem_
