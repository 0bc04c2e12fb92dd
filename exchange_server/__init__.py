"""The exchange centre: takes signed documents in, keeps them, hands them on, records each step."""
