"""What several adapters share: checked fields, dialogues, images among turns, ratings, judges' prompts."""
