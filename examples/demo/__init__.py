"""`make demo`: the whole trip on a throw-away data folder, told step by step and checked."""
