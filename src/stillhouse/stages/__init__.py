"""One file a stage: `run(request, progress)` turns inputs into files and a summary."""
