"""The figures that we claim, each beside a reference measured in the same run on the same machine."""
