"""The build job: segments in, one committed version out. One file a stage; `job.py` puts them in order."""
