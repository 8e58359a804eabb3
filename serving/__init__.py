"""What ships in the serving image: the HTTP server, the model, and the preprocessing that training shares."""
