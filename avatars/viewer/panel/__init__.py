"""What the visitor touches: each file builds one part of the panel and connects it to the stage."""
