"""Pages as copied blocks and the DCT of what they leave."""
