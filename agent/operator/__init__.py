"""What a person is asked and answers. The web page they answer on comes with another issue."""
