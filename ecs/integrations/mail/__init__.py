"""E-mail: what a letter looks like, how it is handed over by SMTP, and what is done without."""
