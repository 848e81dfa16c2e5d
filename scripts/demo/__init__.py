"""Ten people who walk the whole journey over HTTP, and what each of them must get."""
