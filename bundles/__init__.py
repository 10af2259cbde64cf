"""MONAI bundles: data only. `shared/` and each `task.yaml` are the sources; `configs/` is rendered from them."""
