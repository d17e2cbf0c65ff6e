"""Where images come from: CIFAR-10 in the forms in which it is passed around, and the built-in shapes."""
