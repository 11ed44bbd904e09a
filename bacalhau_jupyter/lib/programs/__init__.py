"""Other programs: started so that they end with us, asked, and ended within bounds."""
