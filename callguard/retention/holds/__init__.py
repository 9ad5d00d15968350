"""What may not be erased although its time has come."""
