"""The folder of a job on a consumer's disk: heddle.toml, script and input, checked before anything is signed."""
