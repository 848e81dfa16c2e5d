"""What comes in over a wire, whichever door it uses: strict JSON, its forms, and its complaints."""
