"""What models cost: counted, timed, and set beside their rivals."""
