"""Files as such, whatever model is in them: mapping, safe writing, and the containers that the formats share."""
