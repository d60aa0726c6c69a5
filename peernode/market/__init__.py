"""Who works for whom and on what terms: routing, the coordinator, the provider, adverts, receipts' checks."""
