"""Price lists that a refresh reads, each as the prices it has today."""
