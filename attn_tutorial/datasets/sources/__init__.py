"""Where images come from: CIFAR-10 in the forms in which it is distributed, and the built-in shapes."""
