"""What a machine holds while eight ranks load a model into ZeRO-3 and export it, over the model's own bytes."""
