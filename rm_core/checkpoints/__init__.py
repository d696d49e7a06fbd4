"""Checkpoints of a training: complete or absent, local or on s3, readable by any number of ranks.

    each rank   fragments of the training state -> copy in memory -> `saver` thread -> a part: data file, then record
    rank 0      all records of this attempt are there -> `Marker`, written last -> `Retention` deletes older ones
    later       `store` lists what is complete -> `reader` joins ranges out of the parts -> `resume_newest`: of
                those that all ranks can read

    step-00000120/
        rank-00000-of-00002.safetensors    float32 values: KIND/PARAMETER, 1-D
        rank-00000-of-00002.json           which range of each parameter that is, bytes and sha256
        ...
        COMPLETE.json                      step, ranks, sha256 of every record, facts

The files hold tensors and JSON and nothing that a reader would execute: torch.distributed.checkpoint and DeepSpeed
write pickles, and DeepSpeed's files belong to one number of ranks until they are converted, so neither is used.
"""

from rm_core.checkpoints.reader import Checkpoint
from rm_core.checkpoints.saver import CheckpointSaver, Snapshot
from rm_core.checkpoints.store import CheckpointStore, Retention, resume_newest

__all__ = ["Checkpoint", "CheckpointSaver", "CheckpointStore", "Retention", "Snapshot", "resume_newest"]
