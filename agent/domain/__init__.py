"""What the product talks about: orders, plates, jobs, answers. Pure values, no input or output."""
